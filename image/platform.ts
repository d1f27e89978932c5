import { ImageError } from './error.ts';

/** OCI image-spec v1.1 image-index.md, platform; names as Go spells them. */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly 'os.version'?: string;
  readonly 'os.features'?: readonly string[];
}

const ARCHITECTURE_NAMES: Record<string, Pick<Platform, 'architecture' | 'variant'>> = {
  x86_64: { architecture: 'amd64' },
  'x86-64': { architecture: 'amd64' },
  x64: { architecture: 'amd64' },
  i386: { architecture: '386' },
  i686: { architecture: '386' },
  ia32: { architecture: '386' },
  aarch64: { architecture: 'arm64' },
  armhf: { architecture: 'arm', variant: 'v7' },
  armel: { architecture: 'arm', variant: 'v6' },
};

const VARIANTS: Record<string, readonly string[]> = {
  arm: ['v8', 'v7', 'v6', 'v5'],
  arm64: ['v8'],
  amd64: ['v4', 'v3', 'v2', 'v1'],
};

/**
 * Parses `os/arch[/variant]`, `arch` or `os`, as containerd's platforms package does; what is missing comes from `host`.
 * @throws ImageError `bad-platform`
 */
export function parsePlatform(text: string, host: Platform): Platform {
  const parts = text.toLowerCase().split('/');
  if (parts.length > 3 || parts.some((part) => !/^[a-z0-9_][a-z0-9_.-]*$/.test(part))) {
    throw new ImageError(
      'bad-platform',
      `invalid platform ${JSON.stringify(text)}: expected os/architecture[/variant]`,
    );
  }
  const [first = '', second, third] = parts;
  if (second === undefined) {
    if (OPERATING_SYSTEMS.has(first)) return normalizePlatform({ ...host, os: first });
    const platform = normalizePlatform({ os: host.os, architecture: first });
    if (ARCHITECTURES.has(platform.architecture)) return platform;
    throw new ImageError(
      'bad-platform',
      `${JSON.stringify(text)}: unknown operating system or architecture: invalid argument`,
    );
  }
  return normalizePlatform({ os: first, architecture: second, ...(third ? { variant: third } : {}) });
}

/**
 * As {@link parsePlatform}, but the arm64 variant v8 is kept where it is written out: what a built image is to say of
 * itself.
 * @throws ImageError `bad-platform`
 */
export function parseExplicitPlatform(text: string, host: Platform): Platform {
  const platform = parsePlatform(text, host);
  const variant = text.toLowerCase().split('/')[2];
  return platform.architecture === 'arm64' && variant
    ? { ...platform, variant: variant.replace(/^8$/, 'v8') }
    : platform;
}

const OPERATING_SYSTEMS = new Set([
  'linux',
  'darwin',
  'windows',
  'freebsd',
  'netbsd',
  'openbsd',
  'solaris',
  'aix',
  'android',
  'wasi',
  'js',
  'plan9',
  'dragonfly',
  'hurd',
  'illumos',
  'ios',
  'nacl',
  'wasip1',
  'zos',
]);

const ARCHITECTURES = new Set([
  ...['386', 'amd64', 'amd64p32', 'arm', 'armbe', 'arm64', 'arm64be', 'loong64', 'mips', 'mipsle', 'mips64'],
  ...['mips64le', 'mips64p32', 'mips64p32le', 'ppc', 'ppc64', 'ppc64le', 'riscv', 'riscv64', 's390', 's390x'],
  ...['sparc', 'sparc64', 'wasm'],
]);

/** Canonical names: `x86_64` becomes `amd64`, `arm64/v8` loses its variant, `arm` without one becomes `v7`. */
export function normalizePlatform(platform: Platform): Platform {
  const alias = ARCHITECTURE_NAMES[platform.architecture];
  const architecture = alias?.architecture ?? platform.architecture;
  let variant: string | undefined = platform.variant || alias?.variant;
  if (variant && /^\d+$/.test(variant)) variant = `v${variant}`;
  if (architecture === 'arm64' && variant === 'v8') variant = undefined;
  if (architecture === 'amd64' && variant === 'v1') variant = undefined;
  if (architecture === 'arm' && !variant) variant = 'v7';
  const os = platform.os === 'macos' ? 'darwin' : platform.os;
  const { variant: _dropped, ...rest } = platform;
  return variant ? { ...rest, os, architecture, variant } : { ...rest, os, architecture };
}

export function formatPlatform(platform: Platform): string {
  return [platform.os, platform.architecture, platform.variant].filter(Boolean).join('/');
}

/** The platform of this process in OCI names, from `process.platform` and `process.arch`. */
export function platformOf(nodePlatform: string, nodeArch: string): Platform {
  const os = nodePlatform === 'win32' ? 'windows' : nodePlatform;
  return normalizePlatform({ os, architecture: nodeArch === 'ppc64' ? 'ppc64le' : nodeArch });
}

/**
 * The platforms that run on `wanted`, best first: the exact variant, then the lower ones, then none
 * (containers/image, internal/pkg/platform).
 */
export function acceptablePlatforms(wanted: Platform): Platform[] {
  const { variant, ...base } = normalizePlatform(wanted);
  const ladder = VARIANTS[base.architecture] ?? [];
  const effective =
    variant ?? (base.architecture === 'arm64' ? 'v8' : base.architecture === 'amd64' ? 'v1' : undefined);
  if (effective === undefined) return [base];
  const from = ladder.indexOf(effective);
  const variants = from < 0 ? [effective] : ladder.slice(from);
  return [...variants.map((v) => ({ ...base, variant: v })), base];
}

/**
 * The first entry that fits `wanted` best; undefined when none does.
 * Attestation entries (`unknown/unknown`) never match.
 */
export function choosePlatform<T extends { readonly platform?: Platform }>(
  entries: readonly T[],
  wanted: Platform,
): T | undefined {
  for (const candidate of acceptablePlatforms(wanted)) {
    const found = entries.find(
      ({ platform }) =>
        platform !== undefined &&
        platform.os === candidate.os &&
        platform.architecture === candidate.architecture &&
        (platform.variant || undefined) === candidate.variant &&
        (!wanted['os.version'] || platform['os.version'] === wanted['os.version']),
    );
    if (found) return found;
  }
  return undefined;
}
