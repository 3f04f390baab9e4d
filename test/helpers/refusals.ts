// Bodies of refusals that many tests expect (docs/contract.md, sections 3 and 4).

const message = 'You must be logged in to do this.'
export const unauthorized = { success: false, error: message, status: 'error', message }
export const forbidden = { success: false, error: 'User does not have the permissions required for this action [error-unauthorized]' }
export const internalServerError = { success: false, error: 'Internal server error' }
export const busy = { success: false, error: 'error-database-busy' }

/** The body for a request that cannot be read, or whose body has the wrong shape. */
export const invalid = (reason: string): object => ({ success: false, error: `${reason} [invalid-params]`, errorType: 'invalid-params' })
