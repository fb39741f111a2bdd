/** `npm run bench [NAME…]`: runs each file of this folder, prints floor, ours, ratio and promise, one row a figure. */
import { readdirSync } from 'node:fs'
import { basename } from 'node:path'
import type { Figure } from './figure.ts'

const NOT_FIGURES = new Set(['run.ts', 'figure.ts'])
const wanted = process.argv.slice(2)
const files = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith('.ts') && !NOT_FIGURES.has(file))
  .filter((file) => wanted.length === 0 || wanted.includes(basename(file, '.ts')))
  .sort()

console.log('| figure | floor | ours | ratio | promise | held |')
console.log('| --- | --- | --- | --- | --- | --- |')
for (const file of files) {
  const { run } = (await import(`./${file}`)) as { run: () => Promise<Figure | readonly Figure[]> }
  for (const figure of [await run()].flat()) console.log(row(figure))
}

function row({ name, unit, floor, ours, promise, held }: Figure): string {
  const show = (value: number) => `${value < 10 ? value.toFixed(2) : value.toFixed(0)} ${unit}`
  const ratio = floor > 0 ? (ours / floor).toFixed(2) : '-'
  return `| ${name} | ${floor > 0 ? show(floor) : '-'} | ${show(ours)} | ${ratio} | ${promise} | ${held ? 'yes' : 'NO'} |`
}
