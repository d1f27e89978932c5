import type { ImageReference } from '../../transport/contract.ts';
import { BuildError } from '../error.ts';
import type { BuildSurroundings } from './contract.ts';

/**
 * Heeds BUILD_REGISTRY_SOURCES, by which OpenShift's build controller says which registries a build may use: the
 * surroundings to go on with, without certificate checks where it lists the registry as insecure.
 * @throws BuildError `policy-denied`, `bad-option`
 */
export function allowedSurroundings(
  surroundings: BuildSurroundings,
  doing: 'pull from' | 'commit to' | 'push to',
  reference: ImageReference,
): BuildSurroundings {
  const text = surroundings.environment.BUILD_REGISTRY_SOURCES;
  const domain = reference.transport === 'docker' ? reference.named?.domain : undefined;
  if (!text || domain === undefined) return surroundings;
  const { allowed, blocked, insecure } = parseSources(text);
  const denied = (why: string) =>
    new BuildError(
      'policy-denied',
      `${doing} ${doing === 'commit to' ? 'registry at' : 'registry'} "${domain}" denied by policy: ${why}`,
    );
  if (blocked.includes(domain)) throw denied('it is in the blocked registries list');
  if (allowed.length && !allowed.includes(domain)) throw denied('not in allowed registries list');
  if (!insecure.includes(domain)) return surroundings;
  if (surroundings.docker.tlsVerify === true)
    throw new BuildError('bad-option', "can't require tls verification on an insecured registry");
  return { ...surroundings, docker: { ...surroundings.docker, tlsVerify: false } };
}

interface Sources {
  readonly allowed: readonly string[];
  readonly blocked: readonly string[];
  readonly insecure: readonly string[];
}

function parseSources(text: string): Sources {
  try {
    const json = JSON.parse(text) as Record<string, unknown>;
    const list = (key: string) => (Array.isArray(json[key]) ? (json[key] as unknown[]).map(String) : []);
    return {
      allowed: list('allowedRegistries'),
      blocked: list('blockedRegistries'),
      insecure: list('insecureRegistries'),
    };
  } catch (cause) {
    throw new BuildError(
      'bad-option',
      `parsing $BUILD_REGISTRY_SOURCES (${JSON.stringify(text)}) as JSON: ${(cause as Error).message}`,
      { cause },
    );
  }
}
