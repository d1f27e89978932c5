import { posix } from 'node:path';
import { tryParseDigest } from '../image/digest.ts';

/**
 * Why a scope cannot stand in a transport's section of policy.json, or undefined where it can. An unknown transport
 * has no rules, nor does docker: any scope passes, as in containers/image. The empty scope is always allowed and never
 * asked about.
 */
export function badScope(transport: string, scope: string): string | undefined {
  return CHECKS.get(transport)?.(scope);
}

const CHECKS: ReadonlyMap<string, (scope: string) => string | undefined> = new Map([
  ['dir', absolutePath],
  ['oci', absolutePath],
  ['oci-archive', absolutePath],
  ['sif', absolutePath],
  ['atomic', clusterScope],
  ['docker-archive', noScopes('docker-archive')],
  ['tarball', noScopes('tarball')],
  ['docker-daemon', daemonScope],
  ['containers-storage', storageScope],
]);

function noScopes(transport: string): () => string {
  return () => `${transport}: does not support any scopes except the default "" one`;
}

/** `host[/namespace[/stream[:tag]]]` of an OpenShift cluster. */
function clusterScope(scope: string): string | undefined {
  const fits = /^[^/]*(?:\/[^:/]*(?:\/[^:/]*(?::[^:/]*)?)?)?$/.test(scope);
  return fits ? undefined : `Invalid scope name ${scope}`;
}

function daemonScope(scope: string): string | undefined {
  return tryParseDigest(scope) && `docker-daemon: can not use algo:digest value ${scope} as a namespace`;
}

function absolutePath(scope: string): string | undefined {
  if (!scope.startsWith('/')) return `Invalid scope ${scope}: Must be an absolute path`;
  if (scope === '/') return 'Invalid scope "/": Use the generic default scope ""';
  const cleaned = posix.normalize(scope).replace(/\/$/, '') || '/';
  return cleaned === scope
    ? undefined
    : `Invalid scope ${scope}: Uses non-canonical format, perhaps try ${cleaned}`;
}

/** `[driver@/graph/root]name[:tag][@digest][@id]`. */
function storageScope(scope: string): string | undefined {
  const close = scope.indexOf(']');
  if (!scope.startsWith('[') || close < 1) return `Invalid scope ${scope}: needs a [driver@/graph/root] part`;
  const [first, second, ...rest] = scope.slice(1, close).split(/@(.*)/s);
  const root = second === undefined ? first : second;
  if (!first || !root || (rest.length > 0 && rest.join('') !== ''))
    return `Invalid scope ${scope}: bad storage specifier`;
  if (!root.startsWith('/')) return `Invalid scope ${scope}: the graph root is not an absolute path`;
  const image = scope.slice(close + 1);
  const [, ...selectors] = image.split('@');
  const isId = (text: string) => /^[0-9a-f]{64}$/.test(text);
  const isDigest = (text: string) => tryParseDigest(text) !== undefined;
  const fits =
    selectors.length === 0 ||
    (selectors.length === 1 && (isId(selectors[0] as string) || isDigest(selectors[0] as string))) ||
    (selectors.length === 2 && isDigest(selectors[0] as string) && isId(selectors[1] as string));
  return fits ? undefined : `Invalid scope ${scope}: ${image} carries neither a valid digest nor a valid ID`;
}
