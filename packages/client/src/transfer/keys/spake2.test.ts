import { scryptSync } from 'node:crypto'
import { p256 } from '@noble/curves/nist.js'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { concat, fromHex, toHex, utf8 } from './bytes.js'
import { codeSecret, passwordSecret } from './password.js'
import { publicPoint, randomScalar, reduceToScalar, sharedX, spakeKeys, spakeMessage } from './spake2.js'
import { repeatableRandom } from '../../testing/handshake-pair.js'

// RFC 9382, Appendix B, all vectors of P256-SHA256-HKDF-HMAC.
const vectors = [
  {
    A: 'server',
    B: 'client',
    w: '2ee57912099d31560b3a44b1184b9b4866e904c49d12ac5042c97dca461b1a5f',
    x: '43dd0fd7215bdcb482879fca3220c6a968e66d70b1356cac18bb26c84a78d729',
    pA: '04a56fa807caaa53a4d28dbb9853b9815c61a411118a6fe516a8798434751470f9010153ac33d0d5f2047ffdb1a3e42c9b4e6be662766e1eeb4116988ede5f912c',
    y: 'dcb60106f276b02606d8ef0a328c02e4b629f84f89786af5befb0bc75b6e66be',
    pB: '0406557e482bd03097ad0cbaa5df82115460d951e3451962f1eaf4367a420676d09857ccbc522686c83d1852abfa8ed6e4a1155cf8f1543ceca528afb591a1e0b7',
    Ke: '0e0672dc86f8e45565d338b0540abe69',
    cA: '58ad4aa88e0b60d5061eb6b5dd93e80d9c4f00d127c65b3b35b1b5281fee38f0',
    cB: 'd3e2e547f1ae04f2dbdbf0fc4b79f8ecff2dff314b5d32fe9fcef2fb26dc459b',
  },
  {
    A: '',
    B: 'client',
    w: '0548d8729f730589e579b0475a582c1608138ddf7054b73b5381c7e883e2efae',
    x: '403abbe3b1b4b9ba17e3032849759d723939a27a27b9d921c500edde18ed654b',
    pA: '04a897b769e681c62ac1c2357319a3d363f610839c4477720d24cbe32f5fd85f44fb92ba966578c1b712be6962498834078262caa5b441ecfa9d4a9485720e918a',
    y: '903023b6598908936ea7c929bd761af6039577a9c3f9581064187c3049d87065',
    pB: '04e0f816fd1c35e22065d5556215c097e799390d16661c386e0ecc84593974a61b881a8c82327687d0501862970c64565560cb5671f696048050ca66ca5f8cc7fc',
    Ke: '642f05c473c2cd79909f9a841e2f30a7',
    cA: '47d29e6666af1b7dd450d571233085d7a9866e4d49d2645e2df975489521232b',
    cB: '3313c5cefc361d27fb16847a91c2a73b766ffa90a4839122a9b70a2f6bd1d6df',
  },
  {
    A: 'server',
    B: '',
    w: '626e0cdc7b14c9db3e52a0b1b3a768c98e37852d5db30febe0497b14eae8c254',
    x: '07adb3db6bc623d3399726bfdbfd3d15a58ea776ab8a308b00392621291f9633',
    pA: '04f88fb71c99bfffaea370966b7eb99cd4be0ff1a7d335caac4211c4afd855e2e15a873b298503ad8ba1d9cbb9a392d2ba309b48bfd7879aefd0f2cea6009763b0',
    y: 'b6a4fc8dbb629d4ba51d6f91ed1532cf87adec98f25dd153a75accafafedec16',
    pB: '040c269d6be017dccb15182ac6bfcd9e2a14de019dd587eaf4bdfd353f031101e7cca177f8eb362a6e83e7d5e729c0732e1b528879c086f39ba0f31a9661bd34db',
    Ke: '005184ff460da2ce59062c87733c299c',
    cA: 'bc9f9bbe99f26d0b2260e6456e05a86196a3307ec6663a18bf6ac825736533b2',
    cB: 'c2370e1bf813b086dff0d834e74425a06e6390f48f5411900276dcccc5a297ec',
  },
  {
    A: '',
    B: '',
    w: '7bf46c454b4c1b25799527d896508afd5fc62ef4ec59db1efb49113063d70cca',
    x: '8cef65df64bb2d0f83540c53632de911b5b24b3eab6cc74a97609fd659e95473',
    pA: '04a65b367a3f613cf9f0654b1b28a1e3a8a40387956c8ba6063e8658563890f46ca1ef6a676598889fc28de2950ab8120b79a5ef1ea4c9f44bc98f585634b46d66',
    y: 'd7a66f64074a84652d8d623a92e20c9675c61cb5b4f6a0063e4648a2fdc02d53',
    pB: '04589f13218822710d98d8b2123a079041052d9941b9cf88c6617ddb2fcc0494662eea8ba6b64692dc318250030c6af045cb738bc81ba35b043c3dcb46adf6f58d',
    Ke: 'fc6374762ba5cf11f4b2caa08b2cd1b9',
    cA: 'dfb4db8d48ae5a675963ea5e6c19d98d4ea028d8e898dad96ea19a80ade95dca',
    cB: 'd0f0609d1613138d354f7e95f19fb556bf52d751947241e8c7118df5ef0ae175',
  },
]
const numberOf = (hex: string): bigint => BigInt(`0x${hex}`)
const ORDER = numberOf('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551')

test.each(vectors)('[FT34] the vector of RFC 9382 with A=$A and B=$B', (vector) => {
  const w = numberOf(vector.w)
  const sides = [
    { role: 'A', w, scalar: numberOf(vector.x) },
    { role: 'B', w, scalar: numberOf(vector.y) },
  ] as const
  const [pA, pB] = [spakeMessage(sides[0]), spakeMessage(sides[1])]
  expect([pA, pB].map(toHex)).toEqual([vector.pA, vector.pB])
  for (const side of sides) {
    const run = { idA: utf8(vector.A), idB: utf8(vector.B), pA, pB, aad: new Uint8Array() }
    const keys = spakeKeys(side, run)
    expect(keys && { Ke: toHex(keys.Ke), cA: toHex(keys.cA), cB: toHex(keys.cB) }).toEqual({
      Ke: vector.Ke,
      cA: vector.cA,
      cB: vector.cB,
    })
  }
})

test('[FT34] what is no point of the curve is refused, and so is what leads to the identity', () => {
  const side = { role: 'A', w: 5n, scalar: 7n } as const
  const pA = spakeMessage(side)
  const withPB = (pB: Uint8Array<ArrayBuffer>) =>
    spakeKeys(side, { idA: utf8('a'), idB: utf8('b'), pA, pB, aad: utf8('') })
  const compressed = '03d8bbd6c639c62937b04d997f38c3770719c629d7014d49a24b4f98baa1292b49'
  const beyond = 'ffffffff00000001000000000000000000000000ffffffffffffffffffffffff'
  for (const hex of ['', '00', '00'.repeat(65), `04${'00'.repeat(64)}`, compressed, `04${beyond}${beyond}`])
    expect([withPB(fromHex(hex)), sharedX(7n, fromHex(hex))], hex).toEqual([undefined, undefined])
  const changed = spakeMessage({ role: 'B', w: 5n, scalar: 9n })
  expect(withPB(changed)).toBeDefined()
  changed[64] = (changed[64] ?? 0) ^ 1
  expect(withPB(changed)).toBeUndefined()
  // Without `y*P`, the other side would know the key of everybody whose password it guesses: the identity.
  const N = p256.Point.fromHex(compressed)
  expect(withPB(N.multiply(5n).toBytes(false))).toBeUndefined()
})

test('[FT34] both sides agree exactly if their passwords, names, messages and data agree', () => {
  const scalar = fc.bigInt({ min: 1n, max: ORDER - 1n })
  fc.assert(
    fc.property(
      scalar,
      scalar,
      scalar,
      scalar,
      fc.boolean(),
      fc.boolean(),
      (w, other, x, y, same, sameAad) => {
        const [A, B] = [
          { role: 'A', w, scalar: x },
          { role: 'B', w: same ? w : other, scalar: y },
        ] as const
        const [pA, pB] = [spakeMessage(A), spakeMessage(B)]
        const run = { idA: utf8('ann'), idB: utf8('bob'), pA, pB, aad: utf8('data') }
        const ours = spakeKeys(A, run)
        const theirs = spakeKeys(B, sameAad ? run : { ...run, aad: utf8('other') })
        expect(ours && theirs && toHex(ours.Ke) === toHex(theirs.Ke)).toBe(same || w === other)
        expect(ours && theirs && toHex(ours.cA) === toHex(theirs.cA)).toBe((same || w === other) && sameAad)
      },
    ),
    { numRuns: 15 },
  )
})

test('both sides of ECDH get the same x coordinate', () => {
  const random = repeatableRandom('ecdh')
  const [a, b] = [randomScalar(random), randomScalar(random)]
  expect(a).not.toBe(b)
  const x = sharedX(a, publicPoint(b))
  expect(x).toHaveLength(32)
  expect(x).toEqual(sharedX(b, publicPoint(a)))
})

test('[FT33] w comes from scrypt, is in the range, and differs from share to share', async () => {
  expect(reduceToScalar(new Uint8Array(40))).toBe(1n)
  expect(reduceToScalar(new Uint8Array(40).fill(255))).toBeLessThan(ORDER)
  const hashes = [new Uint8Array(16), new Uint8Array(16).fill(1)] as const
  const [w, again, other, code] = await Promise.all([
    passwordSecret('ﬁsh', hashes[0]),
    passwordSecret('fish', hashes[0]),
    passwordSecret('fish', hashes[1]),
    codeSecret('17-crane-otter-tulip'),
  ])
  // NFKC makes the ligature two letters, as another keyboard would.
  expect(w).toBe(again)
  expect(w).not.toBe(other)
  const ofNode = (text: string, salt: Uint8Array): bigint => {
    const hash = scryptSync(text, salt, 40, { N: 16_384, r: 8, p: 1, maxmem: 2 ** 25 })
    return (numberOf(hash.toString('hex')) % (ORDER - 1n)) + 1n
  }
  expect(w).toBe(ofNode('fish', concat(utf8('peerage share 1 password'), hashes[0])))
  expect(code).toBe(ofNode('17-crane-otter-tulip', utf8('peerage share 1 code')))
})
