/**
 * A request as Kata's policies see it: the fields of the Rust structs in Kata's agent. Names as in the protobuf, `type` as `type_`; an absent
 * message is null, bytes are an array of numbers.
 */
import { ScalarType, type DescField, type DescMessage, type Message } from '@bufbuild/protobuf'

type Json = unknown

const NO_PORTS = { stdin_port: null, stdout_port: null, stderr_port: null }

/** Members that Kata's messages have and ours do not: as Kata shows them when the host did not send them. Here the host cannot. */
const NEVER_SENT: Readonly<Record<string, Readonly<Record<string, Json>>>> = {
  CreateContainerRequest: NO_PORTS,
  ExecProcessRequest: NO_PORTS,
  Storage: { fs_group: null, shared: false },
  Spec: { Hooks: null, Linux: null, Solaris: null, Windows: null },
  Process: {
    ConsoleSize: null,
    Capabilities: null,
    Rlimits: [],
    ApparmorProfile: '',
    OOMScoreAdj: 0,
    SelinuxLabel: '',
  },
}

export function kataInput(schema: DescMessage, message: Message): Record<string, Json> {
  const members = message as unknown as Record<string, unknown>
  const input: Record<string, Json> = { ...NEVER_SENT[schema.name] }
  for (const field of schema.fields)
    input[field.name === 'type' ? 'type_' : field.name] = fieldInput(
      field,
      members[field.localName],
    )
  return input
}

function fieldInput(field: DescField, value: unknown): Json {
  switch (field.fieldKind) {
    case 'message':
      return value === undefined ? null : kataInput(field.message, value as Message)
    case 'list':
      return (value as unknown[]).map((item) => itemInput(field, item))
    case 'map':
      return Object.fromEntries(
        Object.entries(value as object).map(([key, item]) => [key, itemInput(field, item)]),
      )
    case 'scalar':
      return field.scalar === ScalarType.BYTES ? [...(value as Uint8Array)] : value
    case 'enum':
      return value
    default:
      return field satisfies never
  }
}

function itemInput(field: DescField & { fieldKind: 'list' | 'map' }, item: unknown): Json {
  return field.message === undefined ? item : kataInput(field.message, item as Message)
}
