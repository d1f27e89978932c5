declare const SLIPWAY_VERSION: string | undefined;

/** The version of this package: put in by the bundler, read from package.json in a checkout. */
export function packageVersion(): string {
  if (typeof SLIPWAY_VERSION !== 'undefined') return SLIPWAY_VERSION;
  const { version } = process.getBuiltinModule('node:module').createRequire(import.meta.url)(
    '../../package.json',
  ) as { version: string };
  return version;
}
