/** Control characters and those that change the direction of text, which could rewrite what a terminal shows. */
// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const UNSAFE = /[\u0000-\u0008\u000B-\u001F\u007F-\u009F\u2028\u2029\u202A-\u202E\u2066-\u2069]/g

/** Text from a guest or host, made harmless for a terminal: what is unsafe becomes visible, tabs and line ends stay. */
export function escapeText(text: string): string {
  return text.replace(
    UNSAFE,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
