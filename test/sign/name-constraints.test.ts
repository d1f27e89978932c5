import assert from 'node:assert/strict';
import { test } from 'uvu';
import { DER, derEncode, derInteger } from '../../sign/der.ts';
import { parseTrustedCertificates, verifyChain } from '../../sign/sigstore/certificate.ts';
import { makeCertificate, type TestCertificate } from '../support/x509.ts';

const NOW = Date.UTC(2026, 5, 1);
const TAGS = { email: 0x81, dns: 0x82, directory: 0xa4, uri: 0x86, ip: 0x87 } as const;
type Name = readonly [keyof typeof TAGS, string | readonly number[]];

const bytes = (value: string | readonly number[]) =>
  typeof value === 'string' ? Buffer.from(value) : Uint8Array.from(value);
const general = ([kind, value]: Name) => derEncode(TAGS[kind], bytes(value));

function constraints(lists: { permitted?: readonly Name[]; excluded?: readonly Name[] }): Uint8Array {
  const trees = (names: readonly Name[]) => names.map((name) => derEncode(DER.sequence, general(name)));
  return derEncode(
    DER.sequence,
    ...(lists.permitted ? [derEncode(0xa0, ...trees(lists.permitted))] : []),
    ...(lists.excluded ? [derEncode(0xa1, ...trees(lists.excluded))] : []),
  );
}

const limited = (value: Uint8Array, critical = true) => [['2.5.29.30', critical, value]] as const;
const altNames = (names: readonly Name[]) =>
  names.length ? ([['2.5.29.17', true, derEncode(DER.sequence, ...names.map(general))]] as const) : [];

/** Verifies a leaf with these names below an intermediate with these constraints. */
function verify(value: Uint8Array, names: readonly Name[], critical = true): void {
  const root = makeCertificate(NOW, { name: 'root', authority: true });
  const middle = makeCertificate(NOW, {
    name: 'middle',
    issuer: root,
    authority: true,
    extra: limited(value, critical),
  });
  check(makeCertificate(NOW, { name: 'leaf', issuer: middle, extra: altNames(names) }), [middle], root);
}

function check(leaf: TestCertificate, middle: readonly TestCertificate[], root: TestCertificate): void {
  const parse = ({ pem }: TestCertificate) => parseTrustedCertificates(Buffer.from(pem));
  verifyChain(parse(leaf)[0] as ReturnType<typeof parse>[number], {
    roots: parse(root),
    intermediates: middle.flatMap(parse),
    atMs: NOW,
  });
}

const permitted = (...names: Name[]) => constraints({ permitted: names });
const excluded = (...names: Name[]) => constraints({ excluded: names });
const NET = ['ip', [10, 1, 0, 0, 255, 255, 0, 0]] as const;

for (const [name, value, names, isAllowed] of [
  ['no names at all', permitted(['dns', 'example.com']), [], true],
  ['the domain itself', permitted(['dns', 'example.com']), [['dns', 'example.com']], true],
  ['a host below it', permitted(['dns', 'example.com']), [['dns', 'A.Example.com']], true],
  ['not on a label', permitted(['dns', 'example.com']), [['dns', 'badexample.com']], false],
  ['only hosts below', permitted(['dns', '.example.com']), [['dns', 'example.com']], false],
  [
    'one name of two',
    permitted(['dns', 'example.com']),
    [
      ['dns', 'a.example.com'],
      ['dns', 'b.test'],
    ],
    false,
  ],
  ['another kind of name', permitted(['dns', 'example.com']), [['email', 'a@b.test']], true],
  ['everything', permitted(['dns', '']), [['dns', 'b.test']], true],
  ['excluded', excluded(['dns', 'example.com']), [['dns', 'a.example.com']], false],
  ['excluded elsewhere', excluded(['dns', 'example.com']), [['dns', 'example.org']], true],
  ['a wildcard over an excluded host', excluded(['dns', 'a.example.com']), [['dns', '*.example.com']], false],
  ['a wildcard is no permitted host', permitted(['dns', 'a.example.com']), [['dns', '*.example.com']], false],
  ['mail of the host', permitted(['email', 'example.com']), [['email', 'a@example.com']], true],
  ['mail of another host', permitted(['email', 'example.com']), [['email', 'a@example.org']], false],
  ['one mailbox', permitted(['email', 'a@example.com']), [['email', 'a@EXAMPLE.com']], true],
  ['another mailbox', permitted(['email', 'a@example.com']), [['email', 'A@example.com']], false],
  ['excluded mailbox', excluded(['email', 'a@example.com']), [['email', 'a@example.com']], false],
  ['mail that is no mail', permitted(['email', 'example.com']), [['email', 'example.com']], false],
  ['mail with two @', permitted(['email', 'example.com']), [['email', 'a@b.test@example.com']], false],
  ['URI', permitted(['uri', 'example.com']), [['uri', 'https://ci.example.com:8443/x']], true],
  [
    'URI of another host',
    permitted(['uri', 'example.com']),
    [['uri', 'https://example.com@evil.test/']],
    false,
  ],
  ['URI of an address', permitted(['uri', 'example.com']), [['uri', 'https://10.0.0.1/']], false],
  ['URI without host', excluded(['uri', 'example.com']), [['uri', 'urn:x']], false],
  ['address in the network', permitted(NET), [['ip', [10, 1, 2, 3]]], true],
  ['address outside', permitted(NET), [['ip', [10, 2, 2, 3]]], false],
  ['address of the other family', permitted(NET), [['ip', new Array(16).fill(0)]], false],
  ['excluded address', excluded(NET), [['ip', [10, 1, 2, 3]]], false],
] as [string, Uint8Array, Name[], boolean][])
  test(`name constraints: ${name} is ${isAllowed ? 'allowed' : 'refused'}`, () => {
    if (isAllowed) verify(value, names);
    else
      assert.throws(() => verify(value, names), { code: 'invalid-signature', message: /name constraints/ });
  });

test('name constraints: a kind that is not compared refuses the chain when critical, else counts for nothing', () => {
  const value = permitted(['directory', [0x30, 0]], ['dns', 'example.com']);
  assert.throws(() => verify(value, [['dns', 'example.com']]), /unhandled critical extension 2.5.29.30/);
  verify(value, [['dns', 'example.com']], false);
  assert.throws(() => verify(value, [['dns', 'b.test']], false), /not permitted/);
});

const subtree = (...parts: Uint8Array[]) =>
  derEncode(DER.sequence, derEncode(0xa0, derEncode(DER.sequence, ...parts)));
for (const [name, value] of [
  ['empty', derEncode(DER.sequence)],
  ['an empty list', derEncode(DER.sequence, derEncode(0xa0))],
  ['an unknown list', derEncode(DER.sequence, derEncode(0xa2))],
  ['a minimum', subtree(general(['dns', 'a.test']), derEncode(0x80, Buffer.from([1])))],
  ['a host with an empty label', permitted(['dns', 'a..test'])],
  ['an address of three octets', permitted(['ip', [1, 2, 3]])],
  ['a mask with holes', permitted(['ip', [10, 0, 0, 0, 255, 0, 255, 0]])],
  ['not a sequence', derInteger(Buffer.from([1]))],
  ['cut short', permitted(['dns', 'example.com']).subarray(0, 8)],
] as const)
  test(`malformed name constraints refuse the chain: ${name}`, () => {
    assert.throws(() => verify(value, []), { code: 'invalid-signature' });
  });

test('name constraints of a root count, and for names of the intermediates too', () => {
  const root = makeCertificate(NOW, {
    name: 'root',
    authority: true,
    extra: limited(permitted(['dns', 'example.com'])),
  });
  const middle = (host: string) =>
    makeCertificate(NOW, { name: 'm', issuer: root, authority: true, extra: altNames([['dns', host]]) });
  const good = middle('ca.example.com');
  check(makeCertificate(NOW, { name: 'leaf', issuer: good, hosts: ['a.example.com'] }), [good], root);
  assert.throws(
    () => check(makeCertificate(NOW, { name: 'leaf', issuer: good, hosts: ['a.test'] }), [good], root),
    /not permitted/,
  );
  const bad = middle('ca.test');
  assert.throws(
    () => check(makeCertificate(NOW, { name: 'leaf', issuer: bad }), [bad], root),
    /not permitted/,
  );
});

test.run();
