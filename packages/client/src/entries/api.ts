// The API of application servers. It needs no part of the SDK, and only a global fetch.
export { createApi } from '../api/api.js'
export type { Api } from '../api/api.js'
export { ApiError } from '../api/api-error.js'
export type { Registration } from '../api/registration.js'
export type * from '../api/types.js'
