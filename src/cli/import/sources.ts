/** Rocket.Chat's names of the collections, by those of our options, in the order in which they are imported. */
export const sources = {
  'custom-fields': 'rocketchat_livechat_custom_field',
  permissions: 'rocketchat_permissions',
  users: 'users',
  contacts: 'rocketchat_livechat_contact',
  rooms: 'rocketchat_room',
  subscriptions: 'rocketchat_subscription',
  inquiries: 'rocketchat_livechat_inquiry'
}
