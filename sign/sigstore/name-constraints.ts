import { DER, type DerElement, derOne, derRead } from '../der.ts';
import { invalid, printable } from '../error.ts';

/** A name of a subject alternative name extension, RFC 5280 section 4.2.1.6; other kinds are left out. */
export interface AltName {
  readonly kind: 'email' | 'dns' | 'uri' | 'ip';
  /** Text as it stands, or the octets of an address. */
  readonly text: string;
  readonly octets: Uint8Array;
}

/** What an authority may vouch for, RFC 5280 section 4.2.1.10. */
export interface NameConstraints {
  readonly permitted: readonly AltName[];
  readonly excluded: readonly AltName[];
  /** False where some are about kinds of names that are not compared here. */
  readonly complete: boolean;
}

const KINDS: ReadonlyMap<number, AltName['kind']> = new Map([
  [0x81, 'email'],
  [0x82, 'dns'],
  [0x86, 'uri'],
  [0x87, 'ip'],
]);
const LIMIT_COMPARISONS = 250_000;

/** @throws SignError `invalid-signature` */
export function readAltNames(value: Uint8Array | undefined): AltName[] {
  if (!value) return [];
  return derRead(derOne(value, DER.sequence).content).flatMap((element) => altName(element) ?? []);
}

function altName({ tag, content }: DerElement): AltName | undefined {
  const kind = KINDS.get(tag);
  return kind && { kind, text: Buffer.from(content).toString('latin1'), octets: content };
}

/** @throws SignError `invalid-signature` */
export function readNameConstraints(value: Uint8Array): NameConstraints {
  const lists = derRead(derOne(value, DER.sequence).content);
  const trees = (tag: number) =>
    lists.filter((list) => list.tag === tag).flatMap(({ content }) => derRead(content));
  const [permitted, excluded] = [trees(0xa0), trees(0xa1)];
  const isSound =
    permitted.length + excluded.length > 0 && lists.every(({ tag }) => tag === 0xa0 || tag === 0xa1);
  if (!isSound || lists.length > 2) throw invalid('malformed name constraints');
  const names = (subtrees: readonly DerElement[]) => subtrees.flatMap((tree) => baseOf(tree) ?? []);
  const read = { permitted: names(permitted), excluded: names(excluded) };
  const count = read.permitted.length + read.excluded.length;
  return { ...read, complete: count === permitted.length + excluded.length };
}

/** The base of a GeneralSubtree; minimum and maximum must be left out. */
function baseOf({ tag, content }: DerElement): AltName | undefined {
  const [base, ...more] = derRead(content);
  if (tag !== DER.sequence || !base || more.length > 0) throw invalid('malformed name constraints');
  const name = altName(base);
  if (name && !isConstraint(name)) throw invalid(`malformed name constraint ${printable(name.text)}`);
  return name;
}

function isConstraint({ kind, text, octets }: AltName): boolean {
  if (kind === 'ip')
    return (octets.length === 8 || octets.length === 32) && isMask(octets.subarray(octets.length / 2));
  if (kind === 'email' && text.includes('@')) return mailbox(text) !== undefined;
  return text === '' || labels(text.replace(/^\./, '')) !== undefined;
}

/** Ones, then zeros. */
function isMask(octets: Uint8Array): boolean {
  return /^1*0*$/.test([...octets].map((octet) => octet.toString(2).padStart(8, '0')).join(''));
}

/**
 * Why the names of the certificates below an authority are not for it to vouch for, as Go's crypto/x509 decides;
 * undefined when they are.
 */
export function constraintViolation(
  { permitted, excluded }: NameConstraints,
  names: readonly AltName[],
): string | undefined {
  if (names.length * (permitted.length + excluded.length) > LIMIT_COMPARISONS) return 'too many names';
  for (const name of names) {
    if (!isComparable(name)) return `the name ${shown(name)} cannot be compared`;
    const same = (constraint: AltName) => constraint.kind === name.kind;
    if (excluded.some((constraint) => same(constraint) && matches(name, constraint, true)))
      return `the name ${shown(name)} is excluded`;
    const allowed = permitted.filter(same);
    if (allowed.length > 0 && !allowed.some((constraint) => matches(name, constraint, false)))
      return `the name ${shown(name)} is not permitted`;
  }
  return undefined;
}

function shown({ kind, text, octets }: AltName): string {
  return printable(kind === 'ip' ? Buffer.from(octets).toString('hex') : text);
}

function isComparable(name: AltName): boolean {
  if (name.kind === 'ip') return name.octets.length === 4 || name.octets.length === 16;
  const host = hostOf(name);
  return host !== undefined && labels(host) !== undefined;
}

function hostOf({ kind, text }: AltName): string | undefined {
  if (kind === 'dns') return text;
  if (kind === 'email') return mailbox(text)?.host;
  const host = URL.canParse(text) ? new URL(text).hostname : '';
  // An address in a URI is no domain, so nothing can be said about it.
  return host === '' || host.startsWith('[') || /^[0-9.]+$/.test(host) ? undefined : host;
}

function matches(name: AltName, constraint: AltName, wildcards: boolean): boolean {
  if (name.kind === 'ip') return withinNetwork(name.octets, constraint.octets);
  const host = hostOf(name) as string;
  if (name.kind !== 'email' || !constraint.text.includes('@'))
    return withinDomain(host, constraint.text, wildcards);
  const [ours, theirs] = [mailbox(name.text), mailbox(constraint.text)];
  return ours?.local === theirs?.local && ours?.host.toLowerCase() === theirs?.host.toLowerCase();
}

function withinNetwork(address: Uint8Array, network: Uint8Array): boolean {
  if (address.length * 2 !== network.length) return false;
  return address.every((octet, at) => {
    const mask = network[address.length + at] as number;
    return (octet & mask) === ((network[at] as number) & mask);
  });
}

/** @param wildcards the star of `*.example.com` stands for every label, as it must where names are excluded */
function withinDomain(host: string, constraint: string, wildcards: boolean): boolean {
  if (constraint === '') return true;
  const [names, wanted] = [labels(host), labels(constraint.replace(/^\./, ''))];
  if (!names || !wanted) return false;
  const least = wanted.length + (constraint.startsWith('.') ? 1 : 0);
  if (names.length < least) return false;
  return wanted.every((label, at) => names[at] === label || (wildcards && names[at] === '*'));
}

/** Labels from the right, in small letters; undefined for what is no domain name. */
function labels(host: string): string[] | undefined {
  const parts = host.toLowerCase().split('.');
  return parts.every((part) => /^[!-~]{1,63}$/.test(part)) ? parts.reverse() : undefined;
}

function mailbox(text: string): { local: string; host: string } | undefined {
  const [, local, host] = /^([!#-?A-~]+)@([!-?A-~]+)$/.exec(text) ?? [];
  return local !== undefined && host !== undefined ? { local, host } : undefined;
}
