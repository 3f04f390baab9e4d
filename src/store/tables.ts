// The tables of schema.sql as Kysely sees them: what a SELECT returns. Comments stand in schema.sql.

export interface Tables {
  omnichannel_user: UserTable
  omnichannel_user_role: UserRoleTable
  omnichannel_role_permission: RolePermissionTable
  omnichannel_auth_token: AuthTokenTable
  omnichannel_custom_field: CustomFieldTable
  omnichannel_contact: ContactTable
  omnichannel_contact_email: ContactEmailTable
  omnichannel_contact_phone: ContactPhoneTable
  omnichannel_contact_channel: ContactChannelTable
  omnichannel_room: RoomTable
  omnichannel_subscription: SubscriptionTable
  omnichannel_inquiry: InquiryTable
  omnichannel_statistic: StatisticTable
  omnichannel_idempotency_key: IdempotencyKeyTable
  omnichannel_migration: MigrationTable
}

export interface UserTable {
  id: string
  username: string
  name: string
  active: number
}

export interface UserRoleTable {
  user_id: string
  role: string
}

export interface RolePermissionTable {
  role: string
  permission: string
}

export interface AuthTokenTable {
  hashed_token: string
  user_id: string
  name: string
  created_at: string
  expires_at: string | null
}

export interface CustomFieldTable {
  id: string
  label: string
  scope: string
  visibility: string
  required: number
  regexp: string
}

export interface ContactTable {
  id: string
  name: string
  contact_manager: string | null
  custom_fields: string
  conflicting_fields: string
  unknown: number
  pre_registration: number
  last_chat_id: string | null
  last_chat_at: string | null
  enabled: number
  version: number
  created_at: string
  updated_at: string
}

export interface ContactEmailTable {
  contact_id: string
  position: number
  address: string
}

export interface ContactPhoneTable {
  contact_id: string
  position: number
  phone_number: string
}

export interface ContactChannelTable {
  contact_id: string
  position: number
  name: string
  visitor_id: string
  source_type: 'widget' | 'email' | 'sms' | 'app' | 'api' | 'other'
  source_id: string | null
  blocked: number
  verified: number
  verified_at: string | null
  field: string | null
  value: string | null
  details: string
  last_chat_id: string | null
  last_chat_at: string | null
}

export interface RoomTable {
  id: string
  contact_id: string
  fname: string
  updated_at: string
}

export interface SubscriptionTable {
  id: string
  room_id: string
  visitor_id: string
  name: string
  fname: string
  updated_at: string
}

export interface InquiryTable {
  id: string
  room_id: string
  visitor_id: string
  name: string
  updated_at: string
}

export interface StatisticTable {
  name: string
  value: number
}

export interface IdempotencyKeyTable {
  user_id: string
  key: string
  fingerprint: string
  contact_id: string
  version: number
  answer: string
  created_at: string
}

export interface MigrationTable {
  id: number
  applied_at: string
}
