import { CloisterError } from '@cloister/protocol/error'
import { summaries } from '../command-table.ts'
import type { Command } from '../command.ts'

export const command: Command = {
  usage: 'completion bash|zsh|fish',
  details: 'For bash: source <(cloister completion bash)',
  positionals: [1, 1],
  async run({ positionals: [shell = ''] }) {
    const script = SCRIPTS[shell]
    if (script === undefined)
      throw new CloisterError('cli.usage', {
        why: 'there is no completion for this shell',
        expected: Object.keys(SCRIPTS).join(', '),
        received: shell.slice(0, 40),
      })
    process.stdout.write(script())
  },
}

const SCRIPTS: Readonly<Record<string, () => string>> = { bash, zsh, fish }

/** First words, and for each the second words. */
function words(): Map<string, string[]> {
  const tree = new Map<string, string[]>()
  for (const { name } of summaries()) {
    const [first = '', second] = name.split(' ')
    const seconds = tree.get(first) ?? []
    if (second !== undefined) seconds.push(second)
    tree.set(first, seconds)
  }
  return tree
}

function bash(): string {
  const cases = [...words()].filter(([, seconds]) => seconds.length > 0)
  return `_cloister() {
  local word=\${COMP_WORDS[COMP_CWORD]}
  if [ "$COMP_CWORD" -eq 1 ]; then COMPREPLY=($(compgen -W "${[...words().keys()].join(' ')} help version" -- "$word")); return; fi
  if [ "$COMP_CWORD" -eq 2 ]; then
    case \${COMP_WORDS[1]} in
${cases.map(([first, seconds]) => `      ${first}) COMPREPLY=($(compgen -W "${seconds.join(' ')}" -- "$word")); return ;;`).join('\n')}
    esac
  fi
  COMPREPLY=($(compgen -f -- "$word"))
}
complete -F _cloister cloister
`
}

function zsh(): string {
  return `autoload -U +X bashcompinit && bashcompinit\n${bash()}`
}

function fish(): string {
  const lines = summaries().map(({ name, summary }) => {
    const [first = '', second] = name.split(' ')
    const text = summary.replaceAll("'", '')
    return second === undefined
      ? `complete -c cloister -n __fish_use_subcommand -a ${first} -d '${text}'`
      : `complete -c cloister -n '__fish_seen_subcommand_from ${first}' -a ${second} -d '${text}'`
  })
  const groups = [...words()].filter(([, seconds]) => seconds.length > 0)
  return `${[...lines, ...groups.map(([first]) => `complete -c cloister -n __fish_use_subcommand -a ${first}`)].join('\n')}\n`
}
