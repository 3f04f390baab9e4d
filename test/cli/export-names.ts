/** Rocket.Chat's names of the collections, by the options that take them: a second time, so that a slip in src is seen. */
export const sources: Record<string, string> = {
  'custom-fields': 'rocketchat_livechat_custom_field',
  permissions: 'rocketchat_permissions',
  users: 'users',
  contacts: 'rocketchat_livechat_contact',
  rooms: 'rocketchat_room',
  subscriptions: 'rocketchat_subscription',
  inquiries: 'rocketchat_livechat_inquiry'
}
