// Every error of the plugin. The message is wire text where the contract names it (test/contract.md, section 4);
// replies.ts puts the rest of the body around it.

// By name: as the default, the types of these constants would be published as `createError.…`, which is a namespace
// to `moduleResolution: nodenext` but not to `bundler`.
import { createError } from '@fastify/error'

// Refusals, answered to the caller.

/** 401: the caller is not known. Whether a header is missing, a token unknown or expired, or a user inactive, is not told. */
export const UnauthorizedError = createError('FOC_UNAUTHORIZED', 'You must be logged in to do this.', 401)

/** 403: the caller is known and lacks the permission `update-livechat-contact`. */
export const ForbiddenError = createError(
  'FOC_FORBIDDEN', 'User does not have the permissions required for this action', 403)

/** 400: the body could not be read or does not have the shape of the contract, or a header is malformed. */
export const InvalidParamsError = createError<[reason: string]>('FOC_INVALID_PARAMS', '%s', 400)

/** 400: there is no such contact, or it is disabled. */
export const ContactNotFoundError = createError('FOC_CONTACT_NOT_FOUND', 'error-contact-not-found', 400)

/** 400: the `contactManager` that was sent is no user with the role `livechat-agent`. */
export const ContactManagerNotFoundError = createError(
  'FOC_CONTACT_MANAGER_NOT_FOUND', 'error-contact-manager-not-found', 400)

/** 400: a custom field is required and was not sent, does not fit its pattern, or is not a scalar. It is named by its label. */
export const InvalidCustomFieldError = createError<[label: string]>(
  'FOC_INVALID_CUSTOM_FIELD', 'Invalid value for %s field', 400)

/** 400: a custom field was sent that is neither registered nor on the contact. */
export const CustomFieldNotAllowedError = createError<[key: string]>(
  'FOC_CUSTOM_FIELD_NOT_ALLOWED', 'Custom field %s is not allowed', 400)

/** 400: a contact that has a name cannot lose it. */
export const InvalidOperationError = createError('FOC_INVALID_OPERATION', 'error-invalid-operation', 400)

/** 412: none of the entity tags of `If-Match` is the contact's; answered with its current one. */
export class ContactVersionMismatchError extends createError('FOC_CONTACT_VERSION_MISMATCH', 'error-contact-version-mismatch', 412) {
  constructor (
    /** The version that the contact has now. */
    readonly version: number
  ) {
    super()
  }
}

/** 422: the `Idempotency-Key` came with another request before. */
export const IdempotencyKeyReusedError = createError('FOC_IDEMPOTENCY_KEY_REUSED', 'error-idempotency-key-reused', 422)

/**
 * 400: thrown by a host's `beforeCommit`, refuses the update. It is undone, and the caller gets this text.
 *
 * @example
 * ```ts
 * throw new UpdateRefusedError('error-duplicate-email')
 * ```
 */
export const UpdateRefusedError = createError<[error: string]>('FOC_UPDATE_REFUSED', '%s', 400)

/** 503: the database stayed locked, or a server away, for longer than `lockTimeout`; `cause` says which. Also at registration. */
export const DatabaseBusyError = createError('FOC_DATABASE_BUSY', 'error-database-busy', 503)

/** 500, in the log: a connection was lost during COMMIT, and what became of the update cannot be found out. PostgreSQL only. */
export const InDoubtError = createError('FOC_IN_DOUBT', 'The database was lost during COMMIT, so the update may or may not have been made', 500)

/** The reply was answered otherwise, or its client went away, before COMMIT. Nothing was written, and no caller sees this. */
export const RequestGoneError = createError('FOC_REQUEST_GONE', 'The request was answered or its client went away before the update was committed', 503)

// Mistakes of the host, thrown at registration or logged.

/** At registration: an option has the wrong type, or the database is not open. The message names it and what is expected. */
export const InvalidOptionError = createError<[name: string, expected: string]>(
  'FOC_INVALID_OPTION', 'The option "%s" must be %s', 500, TypeError)

/** At registration: there is no such option. A likely misspelling is hinted at. */
export const UnknownOptionError = createError<[name: string, hint: string]>(
  'FOC_UNKNOWN_OPTION', 'Unknown option "%s"%s', 500, TypeError)

/** 500, in the log: `authenticate` returned something that is neither a user with an `id` nor nobody. */
export const InvalidUserError = createError(
  'FOC_INVALID_USER', 'authenticate must return a user, an object with a non-empty string "id", or null', 500, TypeError)

/** 500, in the log: `beforeCommit` returned a promise on SQLite, so the update was undone. */
export const AsyncBeforeCommitError = createError(
  'FOC_ASYNC_BEFORE_COMMIT', 'beforeCommit returned a promise, for which a transaction of SQLite cannot wait', 500, TypeError)

/** At registration: a table, a view or a column is missing and is not the plugin's to create. The message names it. */
export const IncompleteSchemaError = createError<[missing: string]>(
  'FOC_INCOMPLETE_SCHEMA',
  'The database lacks %s. Register with migrate: true, run the command migrate, or give your view or table these columns', 500)

/** At registration: a column of a host's view or table does not hold text where the plugin's does. The message says what to write. */
export const UnsuitableColumnError = createError<[column: string, type: string, name: string]>(
  'FOC_UNSUITABLE_COLUMN',
  'The column %s has the type %s and must hold text, or one id could be taken for another. Write CAST(… AS TEXT) AS %s in your view', 500)

/** At registration: a newer version of the package has migrated the database, and this one would not know what it holds. */
export const NewerSchemaError = createError<[found: number, known: number]>(
  'FOC_NEWER_SCHEMA',
  'The database has schema version %d, and this version of fastify-omnichannel-contacts knows only %d: upgrade the package', 500)
