/** Built-ins by example: a term and what it is. */
import assert from 'node:assert/strict'
import { createHmac, generateKeyPairSync, sign, X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { rootCertificates } from 'node:tls'
import { compile, type EvaluateOptions } from '../policy.ts'

const policy = compile({ modules: [] })

function value(term: string, options: EvaluateOptions = {}): unknown {
  return policy.decide(`x := ${term}; true`, options) === undefined
    ? undefined
    : policy.decide(term, options)
}

const TERMS: readonly [string, unknown][] = [
  [
    'sprintf("%s %d %v %5.2f|%-5s|%05d|%x|%q|%t|%%", ["a", 1, {"k": {1}}, 3.14159, "b", -42, 255, "q", true])',
    'a 1 {"k": {1}}  3.14|b    |-0042|ff|"q"|true|%',
  ],
  ['sprintf("%d", ["a"])', '%!d(string=a)'],
  ['sprintf("%s %s", ["a"])', 'a %!s(MISSING)'],
  ['sprintf("a", [1])', 'a%!(EXTRA int=1)'],
  ['sprintf("%[2]v %[1]v %+d %e %g", [1, 2, 3])', '2 1 +2 %!e(int=3) %!g(BADINDEX)'],
  ['sprintf("%v %b %o %X %c %U", [1.5, 5, 8, 255, 65, 10])', '1.5 101 10 FF A U+000A'],
  ['substring("äöü", 1, -1)', 'öü'],
  ['indexof("äöü", "ü")', 2],
  ['split("a,b", ",")', ['a', 'b']],
  ['trim("xxaxx", "x")', 'a'],
  ['trim_space(" \\ta ")', 'a'],
  ['strings.replace_n({"a": "1", "b": "2"}, "abc")', '12c'],
  ['strings.any_prefix_match(["abc"], ["x", "ab"])', true],
  ['format_int(255, 16)', 'ff'],
  ['indexof_n("abab", "b")', [1, 3]],
  ['object.get({"a": {"b": 1}}, ["a", "b"], 0)', 1],
  ['object.get({"a": null}, "a", 0)', null],
  ['object.union({"a": {"b": 1}}, {"a": {"c": 2}})', { a: { b: 1, c: 2 } }],
  ['object.subset({"a": [1, 2]}, {"a": [2]})', true],
  [
    'json.patch({"a": [1]}, [{"op": "add", "path": "/a/-", "value": 2}, {"op": "remove", "path": "/a/0"}])',
    { a: [2] },
  ],
  ['json.patch({}, [{"op": "test", "path": "/a", "value": 1}])', undefined],
  ['json.remove({"a": {"b": 1, "c": 2}}, ["a/b"])', { a: { c: 2 } }],
  ['json.filter({"a": {"b": 1, "c": 2}}, ["a/b"])', { a: { b: 1 } }],
  ['json.marshal({"b": [1, {2}], "a": "<"})', '{"a":"\\u003c","b":[1,[2]]}'],
  ['json.unmarshal("{\\"a\\": 12345678901234567890}")', { a: 12345678901234567890n }],
  ['json.is_valid("{")', false],
  ['yaml.unmarshal("a: [1, x]")', { a: [1, 'x'] }],
  ['base64.decode("aGk=")', 'hi'],
  ['base64.decode("aGk")', undefined],
  ['base64url.encode_no_pad("hi?>")', 'aGk_Pg'],
  ['base64url.decode("aGk_Pg")', 'hi?>'],
  ['hex.encode("hi")', '6869'],
  ['urlquery.encode("a b&c=ä")', 'a+b%26c%3D%C3%A4'],
  ['urlquery.decode_object("a=1&a=2&b=")', { a: ['1', '2'], b: [''] }],
  ['regex.replace("a1b2", "[0-9]", "<$0>")', 'a<1>b<2>'],
  [
    'regex.find_all_string_submatch_n("a(.)", "ab ac", -1)',
    [
      ['ab', 'b'],
      ['ac', 'c'],
    ],
  ],
  ['regex.template_match("urn:{.*}", "urn:x", "{", "}")', true],
  ['regex.globs_match("a.*", "ab*")', true],
  ['regex.is_valid("(")', false],
  ['time.parse_rfc3339_ns("1970-01-01T00:00:01+01:00")', -3_599_000_000_000],
  [
    'time.parse_ns("Jan _2, 2006 at 3:04pm (MST)", "Feb  4, 2014 at 6:05pm (PST)")',
    1391537100000000000n,
  ],
  ['time.format([0, "America/New_York", "RFC1123Z"])', 'Wed, 31 Dec 1969 19:00:00 -0500'],
  ['time.date([1703444325734390000, "Asia/Tokyo"])', [2023, 12, 25]],
  ['time.add_date(1582977600000000000, 0, 1, 1)', 1585569600000000000n],
  ['time.parse_duration_ns("1h1.5s")', 3_601_500_000_000],
  ['time.parse_duration_ns("1d")', undefined],
  ['semver.compare("1.2.3-alpha.10", "1.2.3-alpha.9")', 1],
  ['semver.compare("1.2.3", "1.2.3-rc")', 1],
  ['net.cidr_contains("10.0.0.0/8", "10.1.2.3")', true],
  ['net.cidr_contains("10.0.0.0/8", "::ffff:11.0.0.1")', false],
  ['net.cidr_contains("2001:db8::/32", "2001:db8::1/64")', true],
  ['net.cidr_merge(["10.0.0.0/25", "10.0.0.128/25", "::1"])', ['10.0.0.0/24', '::1/128']],
  ['net.cidr_expand("192.0.2.0/31")', ['192.0.2.0', '192.0.2.1']],
  ['net.cidr_is_valid("010.0.0.0/8")', false],
  ['graph.reachable({"a": ["b"], "b": ["a"], "c": []}, ["a"])', ['a', 'b']],
  [
    'graph.reachable_paths({"a": ["b", "c"], "b": ["a"], "c": []}, ["a"])',
    [
      ['a', 'b'],
      ['a', 'c'],
    ],
  ],
  ['units.parse("1.5Ki")', 1536],
  ['units.parse_bytes("1MiB")', 1048576],
  ['bits.lsh(1, 70)', 1180591620717411303424n],
  ['bits.xor(5, 1)', 4],
  ['numbers.range_step(5, 1, 2)', [5, 3, 1]],
  ['round(-2.5)', -3],
  ['-7 % 3', -1],
  ['sum([0.5, 1])', 1.5],
  ['sort([{"a"}, 1, "x", null, true])', [null, true, 1, 'x', ['a']]],
  ['crypto.sha256("a")', 'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb'],
  ['crypto.hmac.equal("ab", "ac")', false],
  ['glob.match("*.x", null, "a.x")', true],
  ['array.slice([1, 2, 3], 1, 9)', [2, 3]],
  ['intersection({{1, 2}, {2}})', [2]],
  ['object.keys({"a": 1})', ['a']],
]
for (const [term, wanted] of TERMS) test(term, () => assert.deepEqual(value(term), wanted))

function base64url(data: string | Uint8Array): string {
  return Buffer.from(data).toString('base64url')
}

function signedPart(alg: string, claims: object): string {
  return `${base64url(JSON.stringify({ alg }))}.${base64url(JSON.stringify(claims))}`
}

test('io.jwt.decode_verify holds signature, algorithm, audience and time together', () => {
  const part = signedPart('HS256', { iss: 'i', aud: 'a', exp: 100 })
  const token = `${part}.${base64url(createHmac('sha256', 'key').update(part).digest())}`
  const verify = (constraints: object, now = 50n): unknown =>
    (
      value('io.jwt.decode_verify(input.token, input.constraints)', {
        input: { token, constraints },
        now: now * 1_000_000_000n,
      }) as unknown[]
    )[0]
  assert.equal(verify({ secret: 'key', aud: 'a' }), true)
  assert.equal(verify({ secret: 'other', aud: 'a' }), false)
  assert.equal(verify({ secret: 'key' }), false)
  assert.equal(verify({ secret: 'key', aud: 'a', iss: 'j' }), false)
  assert.equal(verify({ secret: 'key', aud: 'a', alg: 'HS512' }), false)
  assert.equal(verify({ secret: 'key', aud: 'a' }, 100n), false)
  assert.equal(verify({ cert: 'key', aud: 'a' }), false)
})

const KEYS = {
  RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: generateKeyPairSync('ed25519'),
}
for (const [alg, { publicKey, privateKey }] of Object.entries(KEYS))
  test(`io.jwt verifies ${alg} and no other key`, () => {
    const part = signedPart(alg, { sub: 's' })
    const signature = sign(alg === 'EdDSA' ? null : 'sha256', Buffer.from(part), {
      key: privateKey,
      dsaEncoding: 'ieee-p1363',
    })
    const token = `${part}.${base64url(signature)}`
    const verify = (key: string, given = token): unknown =>
      value(`io.jwt.verify_${alg.toLowerCase()}(input.token, input.key)`, {
        input: { token: given, key },
      })
    const jwks = JSON.stringify({ keys: [publicKey.export({ format: 'jwk' })] })
    assert.equal(verify(jwks), true)
    assert.equal(verify(String(publicKey.export({ format: 'pem', type: 'spki' }))), true)
    assert.equal(verify(jwks, token.replace('.', 'x.')), undefined)
    const changed = `${signedPart(alg, { sub: 't' })}.${base64url(signature)}`
    assert.equal(verify(jwks, changed), false)
    const others = Object.entries(KEYS).filter(([name]) => name !== alg)
    for (const [, other] of others)
      assert.equal(verify(JSON.stringify(other.publicKey.export({ format: 'jwk' }))), false)
  })

test('crypto.x509.parse_certificates agrees with the runtime', () => {
  for (const pem of rootCertificates.slice(0, 40)) {
    const [ours] = value('crypto.x509.parse_certificates(input)', { input: pem }) as Record<
      string,
      never
    >[]
    const theirs = new X509Certificate(pem)
    assert.equal(BigInt(ours?.['SerialNumber'] ?? 0), BigInt(`0x${theirs.serialNumber}`))
    assert.equal(ours?.['IsCA'], theirs.ca)
    assert.equal(new Date(ours?.['NotAfter'] ?? 0).getTime(), new Date(theirs.validTo).getTime())
  }
})

test('crypto.x509.parse_and_verify_certificates follows signatures and time', () => {
  const valid = rootCertificates.filter((pem) =>
    new X509Certificate(pem).verify(new X509Certificate(pem).publicKey),
  )
  const [one = '', two = ''] = valid
  const verify = (pem: string, now: Date): unknown =>
    (value('crypto.x509.parse_and_verify_certificates(input)', { input: pem, now }) as unknown[])[0]
  const within = new Date(new X509Certificate(one).validFrom)
  within.setFullYear(within.getFullYear() + 1)
  assert.equal(verify(one + '\n' + one, within), true)
  assert.equal(verify(one + '\n' + one, new Date('1990-01-01')), false)
  assert.equal(verify(one + '\n' + two, within), false)
  assert.equal(verify(one, within), false)
})
