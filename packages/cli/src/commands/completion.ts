import { CloisterError } from '@cloister/protocol/error'
import { COMMON_OPTIONS } from '../command-line.ts'
import type { Command, CommandList, OptionSpec } from '../command.ts'

export const command: Command = {
  usage: 'completion bash|zsh|fish',
  details:
    'For bash: source <(cloister completion bash)\nCommands, their options, files, and the names of what runs (asked of hostd when it answers).',
  positionals: [1, 1],
  async run({ positionals: [shell = ''], commands }) {
    const script = SCRIPTS[shell]
    if (script === undefined)
      throw new CloisterError('cli.usage', {
        why: 'there is no completion for this shell',
        expected: Object.keys(SCRIPTS).join(', '),
        received: shell.slice(0, 40),
        fix: ['cloister help completion'],
      })
    process.stdout.write(await script(commands))
  },
}

const SCRIPTS: Readonly<Record<string, (commands: CommandList) => Promise<string>>> = {
  bash,
  zsh,
  fish,
}

/** Words that may follow; the empty key holds the first words. */
function nextWords(commands: CommandList): Map<string, Set<string>> {
  const tree = new Map([['', new Set(['help', 'version'])]])
  for (const { name } of commands.summaries()) {
    const words = name.split(' ')
    for (const [index, word] of words.entries()) {
      const before = words.slice(0, index).join(' ')
      tree.set(before, (tree.get(before) ?? new Set<string>()).add(word))
    }
  }
  return tree
}

async function optionsOf(
  commands: CommandList,
  name: string,
): Promise<Readonly<Record<string, OptionSpec>>> {
  const { options } = await commands.load(name)
  return { ...options, ...COMMON_OPTIONS }
}

/** Commands whose first argument is NAME: a workload, or with `vm` before it a VM. */
async function namedCommands(commands: CommandList): Promise<string[]> {
  const names: string[] = []
  for (const { name } of commands.summaries()) {
    const { usage } = await commands.load(name)
    const takesName = usage.startsWith(`${name} NAME`)
    const isOfGuest = name.startsWith('vm ') || !name.includes(' ')
    if (takesName && isOfGuest && name !== 'vm create') names.push(name)
  }
  return names
}

async function bash(commands: CommandList): Promise<string> {
  const tree = [...nextWords(commands)].map(
    ([before, words]) => `    '${before}') echo '${[...words].join(' ')}' ;;`,
  )
  const options: string[] = []
  for (const { name } of commands.summaries())
    options.push(
      `    '${name}') echo '${Object.keys(await optionsOf(commands, name))
        .map((option) => `--${option}`)
        .join(' ')}' ;;`,
    )
  const named = await namedCommands(commands)
  const list = (of: readonly string[]) => of.map((name) => `'${name}'`).join('|')
  return `_cloister_next() {
  case $1 in
${tree.join('\n')}
  esac
}
_cloister_options() {
  case $1 in
${options.join('\n')}
  esac
}
_cloister_names() {
  case $1 in
    ${list(named.filter((name) => name.startsWith('vm ')))}) timeout 2 "$2" vm ls -o name 2>/dev/null ;;
    ${list(named.filter((name) => !name.startsWith('vm ')))}) timeout 2 "$2" ps -a -o name 2>/dev/null ;;
  esac
}
_cloister() {
  local word=\${COMP_WORDS[COMP_CWORD]} command='' next='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    next=" $(_cloister_next "$command") "
    case $next in *" \${COMP_WORDS[i]} "*) command="\${command:+$command }\${COMP_WORDS[i]}" ;; *) break ;; esac
    if [ "$command" = help ]; then command=''; fi
  done
  local words
  case $word in
    -*) words=$(_cloister_options "$command") ;;
    *) words=$(_cloister_next "$command")
       if [ -z "$words" ] && [ "$i" -eq "$COMP_CWORD" ]; then words=$(_cloister_names "$command" "\${COMP_WORDS[0]}"); fi ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _cloister cloister ./cloister
`
}

async function zsh(commands: CommandList): Promise<string> {
  return `autoload -U +X bashcompinit && bashcompinit\n${await bash(commands)}`
}

async function fish(commands: CommandList): Promise<string> {
  const quoted = (text: string) => `'${text.replaceAll("'", '')}'`
  const lines = [
    // A command's words in order: options in between end it.
    'function __cloister_at\n  set -l words (commandline -opc)\n  test (string join " " -- $words[2..-1]) = "$argv[1]"\nend',
    'function __cloister_in\n  set -l words (commandline -opc)\n  string match -q -- "$argv[1]*" (string join " " -- $words[2..-1])\nend',
  ]
  for (const [before, words] of nextWords(commands))
    for (const word of words) {
      const name = before === '' ? word : `${before} ${word}`
      const summary = commands.summaries().find((entry) => entry.name === name)?.summary
      const says = summary === undefined ? '' : ` -d ${quoted(summary)}`
      lines.push(`complete -c cloister -f -n '__cloister_at "${before}"' -a ${word}${says}`)
    }
  for (const { name } of commands.summaries())
    for (const [option, spec] of Object.entries(await optionsOf(commands, name))) {
      const value = spec.type === 'string' ? ' -r' : ''
      const short = spec.short === undefined ? '' : ` -s ${spec.short}`
      lines.push(
        `complete -c cloister -n '__cloister_in "${name}"' -l ${option}${short}${value} -d ${quoted(spec.help)}`,
      )
    }
  return `${lines.join('\n')}\n`
}
