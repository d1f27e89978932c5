import type { Platform } from '../../image/platform.ts';

/** Of the host's environment these reach a RUN; `ALL_PROXY` does not, as with Buildah. */
const HOST_PROXIES = [
  'HTTP_PROXY',
  'http_proxy',
  'HTTPS_PROXY',
  'https_proxy',
  'FTP_PROXY',
  'ftp_proxy',
  'NO_PROXY',
  'no_proxy',
] as const;

/** Proxy variables may be given as build arguments without ARG, and stay out of histories (SECURITY B27). */
export const PROXY_ARGUMENTS = [...HOST_PROXIES, 'ALL_PROXY', 'all_proxy'] as const;

/** `NAME=value` of the proxies that a host's environment sets, be it to nothing. */
export function proxyVariables(environment: Readonly<Record<string, string | undefined>>): string[] {
  return HOST_PROXIES.flatMap((name) => {
    const value = environment[name];
    return value === undefined ? [] : [`${name}=${value}`];
  });
}

const PLATFORM_NAMES = ['TARGETPLATFORM', 'TARGETOS', 'TARGETARCH', 'TARGETVARIANT'] as const;

/** Arguments that are not reported as unused. */
export const BUILTIN_ARGUMENTS: ReadonlySet<string> = new Set([
  ...PROXY_ARGUMENTS,
  ...PLATFORM_NAMES,
  'BUILDPLATFORM',
  'BUILDOS',
  'BUILDARCH',
  'BUILDVARIANT',
  'TARGETSTAGE',
  'SOURCE_DATE_EPOCH',
]);

/**
 * The predefined platform arguments, available after a bare `ARG TARGETARCH` and in FROM lines.
 * @param targetStage what `--target` names, else the last stage's name
 */
export function platformArguments(
  target: Platform,
  build: Platform,
  targetStage: string,
): Map<string, string> {
  return new Map([
    ...describe('TARGET', target),
    ...describe('BUILD', build),
    ['TARGETSTAGE', targetStage || 'default'],
  ]);
}

function describe(prefix: string, platform: Platform): [string, string][] {
  const variant = platform.variant ?? '';
  return [
    [`${prefix}PLATFORM`, [platform.os, platform.architecture, variant].filter(Boolean).join('/')],
    [`${prefix}OS`, platform.os],
    [`${prefix}ARCH`, platform.architecture],
    [`${prefix}VARIANT`, variant],
  ];
}
