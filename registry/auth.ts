import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { ProtocolError } from './error.ts';
import { answerJson, type Exchange, readBody } from './exchange.ts';
import type { Route } from './route.ts';
import type { Users } from './users.ts';

/** How clients prove who they are. */
export interface RegistryAuth {
  /** `bearer` sends clients to the token end point of this registry, as Docker's token specification has it. */
  readonly kind: 'basic' | 'bearer';
  readonly users: Users;
  /** Anybody may pull. Default false. */
  readonly anonymousPull?: boolean;
  /** Life of bearer tokens in seconds; default 300. */
  readonly tokenSeconds?: number;
}

/** Guards the end points; made once for each registry. */
export interface Guard {
  /** @throws ProtocolError UNAUTHORIZED with the challenge, DENIED */
  check(exchange: Exchange, route: Route): void;
  /** GET and POST of `/token`. */
  issue(exchange: Exchange): Promise<void>;
}

interface Access {
  readonly type: string;
  readonly name: string;
  readonly actions: readonly string[];
}

interface Claims {
  readonly sub: string;
  readonly exp: number;
  readonly kind: 'access' | 'refresh';
  readonly access: readonly Access[];
}

export function createGuard(auth: RegistryAuth, origin: () => string, now: () => number): Guard {
  const signer = createSigner();
  return {
    check(exchange, route) {
      const needed = neededAccess(exchange, route);
      if (auth.kind === 'basic') checkBasic(auth, exchange, needed);
      else checkBearer({ auth, signer, now, origin }, exchange, needed);
    },
    issue: (exchange) => issueToken({ auth, signer, now, origin }, exchange),
  };
}

interface TokenContext {
  readonly auth: RegistryAuth;
  readonly signer: Signer;
  readonly now: () => number;
  readonly origin: () => string;
}

const PULL_METHODS = new Set(['GET', 'HEAD']);

/** What the request needs, as scopes; a mount also reads its source. */
function neededAccess({ request, query }: Exchange, route: Route): Access[] {
  const method = request.method ?? 'GET';
  if (route.kind === 'base' || route.kind === 'token') return [];
  if (route.kind === 'catalog') return [{ type: 'registry', name: 'catalog', actions: ['*'] }];
  const upload = route.kind === 'upload' || route.kind === 'uploads';
  const actions =
    method === 'DELETE' && !upload
      ? ['delete']
      : upload || !PULL_METHODS.has(method)
        ? ['pull', 'push']
        : ['pull'];
  const own = { type: 'repository', name: route.repository, actions };
  const from = route.kind === 'uploads' && query.has('mount') ? query.get('from') : null;
  return from ? [own, { type: 'repository', name: from, actions: ['pull'] }] : [own];
}

function isPull(needed: readonly Access[]): boolean {
  return needed.length > 0 && needed.every(({ actions }) => actions.length === 1 && actions[0] === 'pull');
}

function checkBasic(auth: RegistryAuth, { request }: Exchange, needed: readonly Access[]): void {
  if (auth.anonymousPull && (isPull(needed) || needed.length === 0) && !request.headers.authorization) return;
  const credentials = basicCredentials(request.headers.authorization);
  if (credentials && auth.users.verify(credentials.username, credentials.password)) return;
  throw new ProtocolError('UNAUTHORIZED', 'authentication required', {
    headers: { 'www-authenticate': 'Basic realm="slipway"' },
  });
}

function checkBearer(context: TokenContext, { request }: Exchange, needed: readonly Access[]): void {
  const header = request.headers.authorization ?? '';
  const token = /^Bearer (.+)$/i.exec(header)?.[1];
  const claims = token === undefined ? undefined : context.signer.open(token, 'access', context.now());
  const missing = needed.filter(({ name, type, actions }) => !covers(claims, type, name, actions));
  if (claims && missing.length === 0) return;
  const scope = missing.map(({ type, name, actions }) => `${type}:${name}:${actions.join(',')}`).join(' ');
  const reason = token === undefined ? '' : `,error="${claims ? 'insufficient_scope' : 'invalid_token'}"`;
  throw new ProtocolError('UNAUTHORIZED', 'authentication required', {
    headers: {
      'www-authenticate': `Bearer realm="${context.origin()}/token",service="slipway"${scope ? `,scope="${scope}"` : ''}${reason}`,
    },
  });
}

function covers(claims: Claims | undefined, type: string, name: string, actions: readonly string[]): boolean {
  return actions.every((action) =>
    claims?.access.some(
      (access) => access.type === type && access.name === name && access.actions.includes(action),
    ),
  );
}

async function issueToken(context: TokenContext, exchange: Exchange): Promise<void> {
  const { auth, signer, now } = context;
  const parameters = await tokenParameters(exchange);
  const subject = identify(context, exchange, parameters);
  if (subject === undefined)
    throw new ProtocolError('UNAUTHORIZED', 'incorrect username or password', {
      headers: { 'www-authenticate': 'Basic realm="slipway"' },
    });
  const access = parseScopes(parameters.getAll('scope')).map((entry) =>
    subject === '' ? { ...entry, actions: entry.actions.filter((action) => action === 'pull') } : entry,
  );
  const seconds = auth.tokenSeconds ?? 300;
  const token = signer.seal({ sub: subject, exp: now() / 1000 + seconds, kind: 'access', access });
  const offline = parameters.get('offline_token') === 'true' || parameters.get('access_type') === 'offline';
  const refresh = offline
    ? signer.seal({ sub: subject, exp: now() / 1000 + 86_400 * 30, kind: 'refresh', access: [] })
    : undefined;
  answerJson(exchange, {
    token,
    access_token: token,
    expires_in: seconds,
    issued_at: new Date(now()).toISOString(),
    ...(refresh ? { refresh_token: refresh } : {}),
  });
}

async function tokenParameters({ request, query }: Exchange): Promise<URLSearchParams> {
  if (request.method !== 'POST') return query;
  return new URLSearchParams((await readBody(request, 64 * 1024)).toString('utf8'));
}

/** The user's name; empty for an anonymous pull; undefined when the proof is wrong. */
function identify(
  { auth, signer, now }: TokenContext,
  { request }: Exchange,
  parameters: URLSearchParams,
): string | undefined {
  const grant = parameters.get('grant_type');
  if (grant === 'refresh_token')
    return signer.open(parameters.get('refresh_token') ?? '', 'refresh', now())?.sub;
  const credentials =
    grant === 'password'
      ? { username: parameters.get('username') ?? '', password: parameters.get('password') ?? '' }
      : basicCredentials(request.headers.authorization);
  if (!credentials) return auth.anonymousPull ? '' : undefined;
  return auth.users.verify(credentials.username, credentials.password) ? credentials.username : undefined;
}

function parseScopes(scopes: readonly string[]): Access[] {
  return scopes
    .flatMap((scope) => scope.split(' '))
    .flatMap((scope) => {
      const match = /^([a-z]+):([^:]+(?::\d+\/[^:]+)?):([a-z*,]+)$/.exec(scope);
      return match ? [{ type: match[1]!, name: match[2]!, actions: match[3]!.split(',') }] : [];
    });
}

function basicCredentials(
  header: string | undefined,
): { readonly username: string; readonly password: string } | undefined {
  const encoded = /^Basic ([A-Za-z0-9+/=]+)$/i.exec(header ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon < 0 ? undefined : { username: text.slice(0, colon), password: text.slice(colon + 1) };
}

interface Signer {
  seal(claims: Claims): string;
  open(token: string, kind: Claims['kind'], now: number): Claims | undefined;
}

/** Tokens are JSON with a MAC under a key of this process, so they end with it. */
function createSigner(): Signer {
  const key = randomBytes(32);
  const mac = (body: string) => createHmac('sha256', key).update(body).digest();
  return {
    seal(claims) {
      const body = Buffer.from(JSON.stringify(claims)).toString('base64url');
      return `${body}.${mac(body).toString('base64url')}`;
    },
    open(token, kind, now) {
      const [body = '', signature = ''] = token.split('.');
      const given = Buffer.from(signature, 'base64url');
      const wanted = mac(body);
      if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) return undefined;
      const claims = JSON.parse(Buffer.from(body, 'base64url').toString('utf8')) as Claims;
      return claims.kind === kind && claims.exp > now / 1000 ? claims : undefined;
    },
  };
}
