/** Event types (TCG PC Client Platform Firmware Profile, 10.4.1), and what their digest is of. */
export const EVENT_TYPE = {
  postCode: 0x1,
  noAction: 0x3,
  separator: 0x4,
  action: 0x5,
  eventTag: 0x6,
  crtmContents: 0x7,
  crtmVersion: 0x8,
  platformConfigFlags: 0xa,
  ipl: 0xd,
  nonHostInfo: 0x11,
  variableDriverConfig: 0x8000_0001,
  variableBoot: 0x8000_0002,
  bootServicesApplication: 0x8000_0003,
  gpt: 0x8000_0006,
  efiAction: 0x8000_0007,
  platformFirmwareBlob: 0x8000_0008,
  platformFirmwareBlob2: 0x8000_000a,
  handoffTables2: 0x8000_000b,
  variableBoot2: 0x8000_000c,
  variableAuthority: 0x8000_00e0,
} as const

const NAMES: Readonly<Record<number, string>> = {
  0x0: 'EV_PREBOOT_CERT',
  0x1: 'EV_POST_CODE',
  0x2: 'EV_UNUSED',
  0x3: 'EV_NO_ACTION',
  0x4: 'EV_SEPARATOR',
  0x5: 'EV_ACTION',
  0x6: 'EV_EVENT_TAG',
  0x7: 'EV_S_CRTM_CONTENTS',
  0x8: 'EV_S_CRTM_VERSION',
  0x9: 'EV_CPU_MICROCODE',
  0xa: 'EV_PLATFORM_CONFIG_FLAGS',
  0xb: 'EV_TABLE_OF_DEVICES',
  0xc: 'EV_COMPACT_HASH',
  0xd: 'EV_IPL',
  0xe: 'EV_IPL_PARTITION_DATA',
  0xf: 'EV_NONHOST_CODE',
  0x10: 'EV_NONHOST_CONFIG',
  0x11: 'EV_NONHOST_INFO',
  0x12: 'EV_OMIT_BOOT_DEVICE_EVENTS',
  0x13: 'EV_POST_CODE2',
  0x8000_0001: 'EV_EFI_VARIABLE_DRIVER_CONFIG',
  0x8000_0002: 'EV_EFI_VARIABLE_BOOT',
  0x8000_0003: 'EV_EFI_BOOT_SERVICES_APPLICATION',
  0x8000_0004: 'EV_EFI_BOOT_SERVICES_DRIVER',
  0x8000_0005: 'EV_EFI_RUNTIME_SERVICES_DRIVER',
  0x8000_0006: 'EV_EFI_GPT_EVENT',
  0x8000_0007: 'EV_EFI_ACTION',
  0x8000_0008: 'EV_EFI_PLATFORM_FIRMWARE_BLOB',
  0x8000_0009: 'EV_EFI_HANDOFF_TABLES',
  0x8000_000a: 'EV_EFI_PLATFORM_FIRMWARE_BLOB2',
  0x8000_000b: 'EV_EFI_HANDOFF_TABLES2',
  0x8000_000c: 'EV_EFI_VARIABLE_BOOT2',
  0x8000_000d: 'EV_EFI_GPT_EVENT2',
  0x8000_0010: 'EV_EFI_HCRTM_EVENT',
  0x8000_00e0: 'EV_EFI_VARIABLE_AUTHORITY',
  0x8000_00e1: 'EV_EFI_SPDM_FIRMWARE_BLOB',
  0x8000_00e2: 'EV_EFI_SPDM_FIRMWARE_CONFIG',
}

export function isKnownEventType(type: number): boolean {
  return Object.hasOwn(NAMES, type)
}

/** The specification's name, or `0x…`. */
export function eventTypeName(type: number): string {
  return NAMES[type] ?? `0x${type.toString(16)}`
}

/** Types whose digest is that of the whole event data, so that a digest of anything else is a lie. */
const DIGEST_OF_DATA: ReadonlySet<number> = new Set([
  EVENT_TYPE.separator,
  EVENT_TYPE.crtmVersion,
  EVENT_TYPE.nonHostInfo,
  EVENT_TYPE.variableDriverConfig,
  EVENT_TYPE.variableBoot2,
  EVENT_TYPE.gpt,
  EVENT_TYPE.efiAction,
  EVENT_TYPE.variableAuthority,
])

export function isDigestOfData(type: number): boolean {
  return DIGEST_OF_DATA.has(type)
}
