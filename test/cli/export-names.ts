// What an import of test/fixtures/export prints, and the names in an export.

/** The lines that the import prints, without the rates. */
export const summary = [
  'custom-fields: 3 new, 0 updated, 0 ignored, 0 skipped',
  'permissions: 2 new, 1 updated, 0 ignored, 0 skipped',
  'users: 3 new, 0 updated, 0 ignored, 0 skipped',
  'contacts: 3 new, 0 updated, 0 ignored, 0 skipped',
  'rooms: 2 new, 0 updated, 2 ignored, 0 skipped',
  'subscriptions: 2 new, 0 updated, 1 ignored, 0 skipped',
  'inquiries: 1 new, 0 updated, 0 ignored, 0 skipped'
]

/** The lines of an output, without the rates. */
export const linesOf = (out: string): string[] => out.replace(/ \(\d+ lines\/s\)/g, '').trimEnd().split('\n')

/** Rocket.Chat's names of the collections by option. They are repeated here, so that tests notice a wrong name in src. */
export const collectionOf: Record<string, string> = {
  'custom-fields': 'rocketchat_livechat_custom_field',
  permissions: 'rocketchat_permissions',
  users: 'users',
  contacts: 'rocketchat_livechat_contact',
  rooms: 'rocketchat_room',
  subscriptions: 'rocketchat_subscription',
  inquiries: 'rocketchat_livechat_inquiry'
}
