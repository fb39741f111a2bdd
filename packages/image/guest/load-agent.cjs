/**
 * Loads the agent into its snapshot. Keeps out of it what would be the same in all guests and must not be, what would differ from one build to
 * the next, and what Node cannot keep.
 */
'use strict'
;(() => {
  const { readFileSync } = require('node:fs')
  const { startupSnapshot } = require('node:v8')
  const { runInThisContext } = require('node:vm')
  /** Put back when a guest begins. */
  const originals = []
  const replace = (object, name, value) => {
    originals.push([object, name, Object.getOwnPropertyDescriptor(object, name)])
    Object.defineProperty(object, name, { value, configurable: true, writable: true })
  }

  // INVARIANT: no key, nonce or id is made while the image is built; a module that tries fails the build.
  const forbidden = (name) => () => {
    throw new Error(`${name}() before the guest runs: each guest would get the same`)
  }
  const crypto = require('node:crypto')
  for (const name of Object.keys(crypto))
    if (/^(pseudoRandom|prng|random|rng|generate|createDiffieHellman$|createECDH$)/.test(name))
      replace(crypto, name, forbidden(name))
  for (const name of ['getRandomValues', 'randomUUID'])
    replace(Object.getPrototypeOf(crypto.webcrypto), name, forbidden(name))
  replace(Math, 'random', forbidden('Math.random'))

  // What the building machine has is not what a guest has: its size, its user, its clock. (Its environment is empty.)
  const ofBuilder = (name) => () => {
    throw new Error(`${name}() before the guest runs: it would be of the building machine`)
  }
  const os = require('node:os')
  for (const [name, member] of Object.entries(os))
    if (typeof member === 'function') replace(os, name, ofBuilder(`os.${name}`))
  for (const name of Object.keys(process))
    if (/^(get.*id|getgroups|umask|cwd|hrtime|uptime|.*[uU]sage|.*Memory)$/.test(name))
      replace(process, name, ofBuilder(`process.${name}`))
  replace(performance, 'now', ofBuilder('performance.now'))
  const Now = Date
  replace(Now, 'now', ofBuilder('Date.now'))
  replace(
    globalThis,
    'Date',
    // Also for who keeps it: it stands in for the real one in the guest.
    new Proxy(Now, {
      construct: (target, given, made) =>
        Reflect.construct(target, given.length === 0 ? [Now.now()] : given, made),
    }),
  )

  // V8 writes the address of a view's memory into the snapshot; one that is made now gets its memory when it is first used.
  const View = DataView
  replace(globalThis, 'DataView', function (...given) {
    let view
    const real = () => (view ??= new View(...given))
    return new Proxy(
      {},
      {
        get(_, name) {
          const { value } = Object.getOwnPropertyDescriptor(View.prototype, name) ?? {}
          return typeof value === 'function'
            ? (...parameters) => value.apply(real(), parameters)
            : real()[name]
        },
      },
    )
  })

  // Of the build; Node sets them anew in the guest.
  Object.defineProperty(process, 'pid', { value: 0, configurable: true })
  process.execPath = '/usr/bin/node'
  process.argv[0] = '/usr/bin/node'

  startupSnapshot.addDeserializeCallback(() => {
    for (const [object, name, descriptor] of originals)
      if (descriptor === undefined) delete object[name]
      else Object.defineProperty(object, name, descriptor)
  })

  // Node has no snapshots of the first three. The sources of the others would stand in the snapshot and in the heap as well, a megabyte in all.
  // Each is loaded when something of it is first used, in its compiled form but for threads (`LATE_MODULES` in agent-snapshot.ts).
  const late = new Set(
    ['http', 'https', 'tls', 'child_process', 'net', 'stream/consumers', 'worker_threads'].map(
      (name) => `node:${name}`,
    ),
  )
  const lateModule = (name) =>
    new Proxy({}, { get: (_, member) => process.getBuiltinModule(name)[member] })

  const filename = '/proc/self/cwd/agent.cjs'
  // By any other encoding Node asks for the file's times, and keeps them.
  const source = readFileSync(filename, 'utf8')
  const agent = runInThisContext(source, { filename })
  agent((name) => (late.has(name) ? lateModule(name) : require(name)))
})()
