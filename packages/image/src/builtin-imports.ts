/**
 * Lets a bundle take Node's own modules as they are. Node makes a namespace with all exports of each imported one, and so reads even
 * those that load further modules: `node:http` then brings in its fetch and WebSocket, a third of the agent's time to start.
 */

/** One import declaration of a built-in module, or of another file of the bundle, as the bundler's minifier writes it. */
const IMPORT =
  /import ?(?:(?<whole>[\w$]+)(?:,(?=\{)| ))?(?:\*as (?<namespace>[\w$]+) )?(?:\{(?<names>[^{}]*)\})?(?:from)?"(?:(?<module>node:[\w/]+)|\.\/[\w.-]+)";/y

/**
 * Rewrites the declarations at the beginning of a minified module; those of other files of the bundle, and everything after the first other
 * statement, stay as they are.
 *
 * `import{request as a}from"node:http";` becomes `const{request:a}=process.getBuiltinModule("node:http");`
 */
export function takeBuiltinsDirectly(code: string): string {
  let head = ''
  IMPORT.lastIndex = 0
  let end = 0
  for (let match = IMPORT.exec(code); match !== null; match = IMPORT.exec(code)) {
    const { whole, namespace, names, module } = match.groups!
    end = IMPORT.lastIndex
    if (module === undefined) {
      head += match[0]
      continue
    }
    const taken = `process.getBuiltinModule("${module}");`
    for (const name of [whole, namespace]) if (name !== undefined) head += `const ${name}=${taken}`
    if (names !== undefined) head += `const{${names.replaceAll(' as ', ':')}}=${taken}`
  }
  return head + code.slice(end)
}
