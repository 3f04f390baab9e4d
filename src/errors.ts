// All errors of the plugin. Callers get the messages that docs/contract.md lists in section 4, so these must not change.

// With the default import, the published types would name `createError.…`, which `moduleResolution: bundler` cannot resolve.
import { createError } from '@fastify/error'

// Errors that are answered to the caller.

/** 401: a header is missing, the token is unknown or expired, or the user is inactive. The answer does not say which. */
export const UnauthorizedError = createError('FOC_UNAUTHORIZED', 'You must be logged in to do this.', 401)

/** 403: the caller lacks the permission `update-livechat-contact`. */
export const ForbiddenError = createError('FOC_FORBIDDEN', 'User does not have the permissions required for this action', 403)

/** 400: the body cannot be read or is not valid, or a header is malformed. */
export const InvalidParamsError = createError<[reason: string]>('FOC_INVALID_PARAMS', '%s', 400)

/** 400: the contact is unknown or disabled. */
export const ContactNotFoundError = createError('FOC_CONTACT_NOT_FOUND', 'error-contact-not-found', 400)

/** 400: the `contactManager` is not a user with the role `livechat-agent`. */
export const ContactManagerNotFoundError = createError('FOC_CONTACT_MANAGER_NOT_FOUND', 'error-contact-manager-not-found', 400)

/** 400: a custom field is required and missing, does not match its pattern, or is not a scalar. The message has its label. */
export const InvalidCustomFieldError = createError<[label: string]>('FOC_INVALID_CUSTOM_FIELD', 'Invalid value for %s field', 400)

/** 400: a custom field is neither registered nor stored on the contact. */
export const CustomFieldNotAllowedError = createError<[key: string]>('FOC_CUSTOM_FIELD_NOT_ALLOWED', 'Custom field %s is not allowed', 400)

/** 400: the name of a contact cannot be removed. */
export const InvalidOperationError = createError('FOC_INVALID_OPERATION', 'error-invalid-operation', 400)

/** 412: `If-Match` lacks the contact's current entity tag. The answer has that tag as its `ETag`. */
export class ContactVersionMismatchError extends createError('FOC_CONTACT_VERSION_MISMATCH', 'error-contact-version-mismatch', 412) {
  constructor (
    /** The current version of the contact. */
    readonly version: number
  ) {
    super()
  }
}

/** 422: the `Idempotency-Key` was used for another request. */
export const IdempotencyKeyReusedError = createError('FOC_IDEMPOTENCY_KEY_REUSED', 'error-idempotency-key-reused', 422)

/**
 * 400: throw it in `beforeCommit` to refuse an update. The update is rolled back, and the caller gets your text.
 *
 * @example
 * ```ts
 * throw new UpdateRefusedError('error-duplicate-email')
 * ```
 */
export const UpdateRefusedError = createError<[error: string]>('FOC_UPDATE_REFUSED', '%s', 400)

/**
 * What was in the way of an update for longer than `lockTimeout`:
 *
 * | obstacle | |
 * |---|---|
 * | `host-transaction` | the host has a transaction open on the SQLite handle |
 * | `host-iterator` | the host is reading rows on the SQLite handle |
 * | `other-connection` | another process, or another handle of this one, holds the lock of the SQLite file |
 * | `full-pool` | all clients of the pool were in use |
 * | `host-client` | the pool gave a client that cannot be used, for example because the host left it in a transaction |
 * | `other-transaction` | another transaction of PostgreSQL holds the rows |
 * | `full-server` | PostgreSQL takes no more connections |
 * | `read-only-server` | PostgreSQL may not write: it is a standby, or was made read-only |
 * | `server-away` | PostgreSQL is starting, stopping or out of reach |
 */
export type Obstacle = 'host-transaction' | 'host-iterator' | 'other-connection' | 'full-pool' | 'host-client' | 'other-transaction' |
  'full-server' | 'read-only-server' | 'server-away'

/** 503, and at registration: the database was locked or unreachable for longer than `lockTimeout`. Its `cause` has the details. */
export class DatabaseBusyError extends createError('FOC_DATABASE_BUSY', 'error-database-busy', 503) {
  /** Undefined if your own code made the error without an obstacle. */
  readonly obstacle: Obstacle | undefined

  constructor (options?: { obstacle?: Obstacle, cause: unknown }) {
    super(...options === undefined ? [] : [options])
    this.obstacle = options?.obstacle
  }
}

/** 500, in the log: the connection was lost during COMMIT, so the update may or may not be committed. PostgreSQL only. */
export const InDoubtError = createError('FOC_IN_DOUBT', 'The connection was lost during COMMIT, so the update may or may not have been made', 500)

/** Before COMMIT, other code answered the request, or the client went away. Nothing was written. No caller gets this error. */
export const RequestGoneError = createError('FOC_REQUEST_GONE', 'The request was answered or its client went away before the update was committed', 503)

// Errors of the host's configuration and code.

/** At registration: an option has the wrong type, or the database is not open. The message says what is expected. */
export const InvalidOptionError = createError<[name: string, expected: string]>('FOC_INVALID_OPTION', 'The option "%s" must be %s', 500, TypeError)

/** At registration: there is no such option. The message suggests a similar one. */
export const UnknownOptionError = createError<[name: string, hint: string]>('FOC_UNKNOWN_OPTION', 'Unknown option "%s"%s', 500, TypeError)

/** 500, in the log: `authenticate` returned neither a user with an `id` nor `null`. */
export const InvalidUserError = createError(
  'FOC_INVALID_USER', 'authenticate returned neither a user with a non-empty string "id" nor null', 500, TypeError)

/** 500, in the log: `beforeCommit` returned a promise on SQLite, so the update was rolled back. */
export const AsyncBeforeCommitError = createError(
  'FOC_ASYNC_BEFORE_COMMIT', 'beforeCommit returned a promise, and must be synchronous on SQLite', 500, TypeError)

/** At registration: a table, view or column is missing, and the plugin must not create it. The message names it. */
export const IncompleteSchemaError = createError<[missing: string]>(
  'FOC_INCOMPLETE_SCHEMA',
  'The database lacks %s. Register with migrate: true, run the command migrate, or give your view or table these columns', 500)

/** At registration: a column of your view or table must be text and is not. The message says how to write it. */
export const UnsuitableColumnError = createError<[column: string, type: string, name: string]>(
  'FOC_UNSUITABLE_COLUMN',
  'The column %s has the type %s and must hold text, or one id could be taken for another. Write CAST(… AS TEXT) AS %s in your view', 500)

/** At registration: a newer version of the package has migrated the database. */
export const NewerSchemaError = createError<[found: number, known: number]>(
  'FOC_NEWER_SCHEMA',
  'The database has schema version %d, and this version of fastify-omnichannel-contacts knows only %d: upgrade the package', 500)
