import { isAbsolute } from 'node:path';
import { tryParseDigest } from '../../image/digest.ts';
import {
  formatReference,
  type NamedReference,
  parseReference,
  repositoryOf,
  withDefaultTag,
} from '../../image/reference.ts';
import type { StorageLocation } from '../contract.ts';
import { TransportError } from '../error.ts';

/** What stands behind `containers-storage:`, before any store was looked at. */
export interface StorageName {
  readonly location?: StorageLocation;
  readonly named?: NamedReference;
  /** A whole image id. */
  readonly id?: string;
  /** May be the beginning of an image id instead of, or behind `@`, beside a name; only the store can tell. */
  readonly possibleId?: string;
}

/** Shorter texts are names, never the beginning of an id. */
const SHORTEST_ID_PREFIX = 3;

/**
 * Parses `[driver@root+runroot:options]name[:tag][@digest][@id]`; the bracketed part is optional, and an id may stand
 * alone or behind `@` (storage_transport.go, ParseReference).
 * @throws TransportError `bad-reference`
 */
export function parseStorageName(text: string): StorageName {
  const { location, rest } = splitLocation(text);
  if (rest === '') throw bad(text, 'it is an empty reference');
  const { name, id, possibleId } = splitId(rest, text);
  if (name === '') return { location, id, possibleId };
  if (isImageId(name)) return { location, id: name };
  if (
    id === undefined &&
    possibleId === undefined &&
    name.length >= SHORTEST_ID_PREFIX &&
    /^[0-9a-f]+$/.test(name)
  )
    return { location, named: parseName(name, text), possibleId: name };
  return { location, named: parseName(name, text), id, possibleId };
}

function parseName(name: string, text: string): NamedReference {
  try {
    return withDefaultTag(parseReference(name));
  } catch (cause) {
    throw new TransportError(
      'bad-reference',
      `parsing named reference ${JSON.stringify(text)}: ${(cause as Error).message}`,
      {
        cause,
      },
    );
  }
}

function splitId(
  rest: string,
  text: string,
): { readonly name: string; readonly id?: string; readonly possibleId?: string } {
  const at = rest.lastIndexOf('@');
  if (at < 0) return { name: rest };
  const last = rest.slice(at + 1);
  if (last === '') throw bad(text, 'empty trailing digest or ID');
  if (tryParseDigest(last) !== undefined) return { name: rest };
  const name = rest.slice(0, at);
  if (isImageId(last)) return { name, id: last };
  if (/^[0-9a-f]+$/.test(last) && last.length >= SHORTEST_ID_PREFIX && last.length < 64)
    return { name, possibleId: last };
  throw bad(text, `${JSON.stringify(last)} does not look like an image ID or digest`);
}

function splitLocation(text: string): { readonly location?: StorageLocation; readonly rest: string } {
  if (!text.startsWith('[')) return { rest: text };
  const close = text.indexOf(']');
  if (close < 0) throw bad(text, 'the store specifier does not end');
  const rest = text.slice(close + 1);
  const specifier = text.slice(1, close);
  const at = specifier.indexOf('@');
  const driver = at < 0 ? undefined : specifier.slice(0, at);
  const behind = at < 0 ? specifier : specifier.slice(at + 1);
  if (driver === '' || behind === '') throw bad(text, 'the store specifier is incomplete');
  const colon = behind.indexOf(':');
  const places = colon < 0 ? behind : behind.slice(0, colon);
  const options = colon < 0 ? undefined : behind.slice(colon + 1).split(',');
  const plus = places.indexOf('+');
  const graphRoot = plus < 0 ? places : places.slice(0, plus);
  const runRoot = plus < 0 ? '' : places.slice(plus + 1);
  for (const path of [graphRoot, runRoot])
    if (path !== '' && !isAbsolute(path))
      throw bad(text, `path name ${JSON.stringify(path)} is not absolute`);
  return {
    location: {
      ...(driver === undefined ? {} : { driver }),
      ...(graphRoot === '' ? {} : { graphRoot }),
      ...(runRoot === '' ? {} : { runRoot }),
      ...(options === undefined ? {} : { options }),
    },
    rest,
  };
}

export function isImageId(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

/** `name@id` without the store, as the end of every form of the reference. */
export function formatNameAndId(named: NamedReference | undefined, id: string | undefined): string {
  return `${named === undefined ? '' : formatReference(named)}${id === undefined ? '' : `@${id}`}`;
}

/** Wider policy scopes of an image in a store, most specific first (PolicyConfigurationNamespaces). */
export function policyNamespaces(
  driver: string,
  graphRoot: string,
  named: NamedReference | undefined,
  id: string | undefined,
): string[] {
  const store = `[${driver}@${graphRoot}]`;
  const scopes: string[] = [];
  if (named !== undefined) {
    if (id !== undefined) scopes.push(store + formatReference(named));
    if (named.tag !== undefined && named.digest !== undefined)
      scopes.push(`${store}${repositoryOf(named)}:${named.tag}`);
    const components = repositoryOf(named).split('/');
    for (; components.length > 0; components.pop()) scopes.push(store + components.join('/'));
  }
  return [...scopes, store, `[${graphRoot}]`];
}

function bad(text: string, why: string): TransportError {
  return new TransportError(
    'bad-reference',
    `invalid containers-storage reference ${JSON.stringify(text)}: ${why}`,
    {
      hint: 'write containers-storage:[driver@root+runroot:options]name:tag, or @ and an image id',
    },
  );
}
