/** Where a person enters a code or a password. */
export const english = {
  haveCode: 'I have a code',
  codeFormHeading: 'Enter the code',
  codeFormLead: 'It is a number and three words, such as 17-crane-otter-tulip.',
  codeFormLabel: 'Code',
  codeFormGo: 'Connect',
  codeFormBad: 'A code is a number and three words, such as 17-crane-otter-tulip.',
  codeFormBadWord: (word: string) => `The word “${word}” is in no code. Check the spelling.`,
  back: 'Send files myself',
  passwordHeading: 'This link has a password',
  passwordLead: 'Ask the person who sent you the link.',
  passwordGo: 'Open',
  passwordWrong: (triesLeft: number | undefined) =>
    triesLeft === undefined
      ? 'That password is wrong.'
      : `That password is wrong. ${triesLeft === 1 ? 'One try is' : `${triesLeft} tries are`} left. After that, the link lets nobody new in.`,
}
