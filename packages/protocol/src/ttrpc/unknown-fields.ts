import type { DescMessage, Message } from '@bufbuild/protobuf'
import { reflect } from '@bufbuild/protobuf/reflect'

/** Path of the first message within `message`, itself included, that carries fields its schema does not know; undefined when none does. */
export function findUnknownFields(
  schema: DescMessage,
  message: Message,
  path = schema.name,
): string | undefined {
  const unknown = message.$unknown?.[0]
  if (unknown !== undefined) return `${path}.#${unknown.no}`
  const reflected = reflect(schema, message)
  for (const field of schema.fields) {
    if (field.message === undefined && field.fieldKind !== 'map') continue
    if (!reflected.isSet(field)) continue
    const inner = `${path}.${field.name}`
    if (field.fieldKind === 'message') {
      const found = findUnknownFields(field.message, reflected.get(field).message, inner)
      if (found !== undefined) return found
    } else if (field.fieldKind === 'list' && field.listKind === 'message') {
      let index = 0
      for (const item of reflected.get(field)) {
        const element = item as { readonly message: Message }
        const found = findUnknownFields(field.message, element.message, `${inner}[${index++}]`)
        if (found !== undefined) return found
      }
    } else if (field.fieldKind === 'map' && field.mapKind === 'message') {
      throw new TypeError(`${inner}: maps of messages are not supported here`)
    }
  }
  return undefined
}
