/** By what bounds for each address count. Whoever has an IPv6 address has at least the 2^64 of its network, so those are one. */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address
  const [text = ''] = address.split('%')
  if (text.includes('.')) return address
  const [head = '', tail] = text.split('::')
  const before = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length)
  const groups = [...before, ...Array.from({ length: zeros }, () => '0'), ...after]
  return `${groups.slice(0, 4).join(':')}::/64`
}
