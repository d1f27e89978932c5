import { homedir } from 'node:os';
import { join } from 'node:path';

/** The part of the surroundings that paths of configuration files depend on. */
export interface HostEnvironment {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Default: this process's. */
  readonly uid?: number;
}

export function homeOf({ environment }: HostEnvironment): string {
  return environment.HOME || homedir();
}

/** `$XDG_CONFIG_HOME` or `~/.config`. */
export function configHomeOf(host: HostEnvironment): string {
  return host.environment.XDG_CONFIG_HOME || join(homeOf(host), '.config');
}

/** `$XDG_CACHE_HOME` or `~/.cache`. */
export function cacheHomeOf(host: HostEnvironment): string {
  return host.environment.XDG_CACHE_HOME || join(homeOf(host), '.cache');
}

/** Where builds keep facts about earlier ones: digests of files of contexts, what steps were made from. */
export function buildMemoryOf(host: HostEnvironment): string {
  return join(cacheHomeOf(host), 'slipway', 'builds');
}

export function uidOf({ uid }: HostEnvironment): number {
  return uid ?? process.getuid?.() ?? 0;
}
