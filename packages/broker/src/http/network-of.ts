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

/** Whether a connection comes from this machine itself. @param address - as Node has it; a socket that listens to IPv6 too has IPv4 within `::ffff:` */
export function isLoopback(address: string): boolean {
  const plain = address.toLowerCase().replace(/^::ffff:/, '')
  return plain === '::1' || /^127(?:\.\d{1,3}){3}$/.test(plain)
}
