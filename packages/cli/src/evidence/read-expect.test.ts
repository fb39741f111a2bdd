import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { CloisterError } from '@cloister/protocol/error'
import { readExpect } from './read-expect.ts'

const TEE = { demanded: ['reportData', 'measurement'], optional: ['imageId'] }
const refuses = (...words: string[]) => {
  assert.throws(
    () => readExpect(words, TEE),
    (error) => error instanceof CloisterError && error.code === 'cli.usage',
    words.join(' '),
  )
}

describe('readExpect()', () => {
  test('takes any for all, and values over it', () => {
    assert.deepEqual(readExpect(['any', 'report-data=00FF'], TEE), {
      reportData: ['00ff'],
      measurement: 'any',
    })
  })

  test('collects alternatives of one field, whatever its spelling', () => {
    const expect = readExpect(
      ['report_data=aa', 'REPORTDATA=bb', 'measurement=any', 'imageId=0x01'],
      TEE,
    )
    assert.deepEqual(expect, { reportData: ['aa', 'bb'], measurement: 'any', imageId: ['01'] })
  })

  test('refuses what is left out, unknown, or no hex', () => {
    refuses()
    refuses('reportData=aa')
    refuses('any', 'nonsense=aa')
    refuses('any', 'reportData=xyz')
    refuses('any', 'reportData=')
    refuses('any', 'reportData')
  })
})
