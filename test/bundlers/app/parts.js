import { connect } from '@peerage/client'

globalThis.tryOut = async (url, timeoutMs) => {
  try {
    const peer = await connect(url, { timeoutMs })
    await peer.join('hall')
    await peer.leave()
    return 'connected'
  } catch (error) {
    return `${error.code}: ${error.message}`
  }
}
