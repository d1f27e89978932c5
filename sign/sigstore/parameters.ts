import { SignError } from '../error.ts';

/** A signing parameter file: containers-sigstore-signing-params.yaml(5). */
export interface SigningParameters {
  readonly privateKeyFile?: string;
  readonly privateKeyPassphraseFile?: string;
  readonly fulcio?: FulcioParameters;
  readonly rekorUrl?: URL;
}

export type FulcioParameters = { readonly fulcioUrl: URL } & (
  | { readonly oidcMode: 'staticToken'; readonly idToken: string }
  | {
      readonly oidcMode: 'deviceGrant' | 'interactive';
      readonly issuerUrl: URL;
      readonly clientId: string;
      readonly clientSecret: string;
    }
);

/**
 * Reads a signing parameter file; unknown keys are errors.
 * @param path for messages
 * @throws SignError `bad-parameters`
 */
export async function parseSigningParameters(text: string, path: string): Promise<SigningParameters> {
  const { parse } = await import('yaml');
  const bad = (why: string, cause?: unknown) =>
    new SignError(
      'bad-parameters',
      `setting up signing using parameter file ${JSON.stringify(path)}: ${why}`,
      {
        cause,
        facts: { path },
      },
    );
  let root: unknown;
  try {
    root = parse(text, { uniqueKeys: true });
  } catch (cause) {
    throw bad(`parsing: ${(cause as Error).message.split('\n')[0]}`, cause);
  }
  const top = readFields(root, ['privateKeyFile', 'privateKeyPassphraseFile', 'rekorURL'], ['fulcio'], bad);
  const fulcio = top.nested.fulcio === undefined ? undefined : readFulcio(top.nested.fulcio, bad);
  const { privateKeyFile, privateKeyPassphraseFile, rekorURL } = top.texts;
  if (privateKeyFile && fulcio)
    throw bad('multiple private key sources specified when preparing to create sigstore signatures');
  if (!privateKeyFile && !fulcio)
    throw bad(
      'no private key source provided (neither a private key nor Fulcio) when preparing to create sigstore signatures',
    );
  return {
    ...(privateKeyFile && { privateKeyFile }),
    ...(privateKeyPassphraseFile && { privateKeyPassphraseFile }),
    ...(fulcio && { fulcio }),
    ...(rekorURL && { rekorUrl: readUrl(rekorURL, 'rekorURL', bad) }),
  };
}

type Bad = (why: string) => SignError;

const FULCIO_FIELDS = [
  'fulcioURL',
  'oidcMode',
  'oidcIDToken',
  'oidcIssuerURL',
  'oidcClientID',
  'oidcClientSecret',
];

function readFulcio(value: unknown, bad: Bad): FulcioParameters {
  const { texts } = readFields(value, FULCIO_FIELDS, [], bad);
  if (!texts.fulcioURL) throw bad('missing fulcioURL');
  const fulcioUrl = readUrl(texts.fulcioURL, 'fulcioURL', bad);
  const { oidcMode } = texts;
  if (oidcMode === 'staticToken') {
    if (!texts.oidcIDToken) throw bad('missing oidcToken');
    return { fulcioUrl, oidcMode, idToken: texts.oidcIDToken };
  }
  if (!texts.oidcIssuerURL) throw bad('missing oidcIssuerURL');
  const issuerUrl = readUrl(texts.oidcIssuerURL, 'oidcIssuerURL', bad);
  if (!oidcMode) throw bad('missing oidcMode');
  if (oidcMode !== 'deviceGrant' && oidcMode !== 'interactive')
    throw bad(`unknown oidcMode value ${JSON.stringify(oidcMode)}`);
  return {
    fulcioUrl,
    oidcMode,
    issuerUrl,
    clientId: texts.oidcClientID ?? '',
    clientSecret: texts.oidcClientSecret ?? '',
  };
}

function readFields(
  value: unknown,
  textKeys: readonly string[],
  objectKeys: readonly string[],
  bad: Bad,
): { texts: Record<string, string | undefined>; nested: Record<string, unknown> } {
  const texts: Record<string, string | undefined> = {};
  const nested: Record<string, unknown> = {};
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw bad('a mapping is expected');
  for (const [key, field] of Object.entries(value)) {
    if (objectKeys.includes(key)) nested[key] = field;
    else if (!textKeys.includes(key)) throw bad(`field ${key} not found`);
    else if (typeof field !== 'string') throw bad(`${key} is not a string`);
    else texts[key] = field;
  }
  return { texts, nested };
}

function readUrl(text: string, key: string, bad: Bad): URL {
  const url = URL.parse(text);
  if (!url || (url.protocol !== 'https:' && url.protocol !== 'http:'))
    throw bad(`parsing ${key} ${JSON.stringify(text)}: not an http or https URL`);
  return url;
}
