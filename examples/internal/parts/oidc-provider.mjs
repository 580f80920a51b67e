// An OpenID provider for the tests: npm oidc-provider with two people, one
// client and a sign-in page of its own. Everything is in memory.
// Environment: LISTEN host:port, ISSUER, NAME, REDIRECTS (blank separated), and
// ACCESS_SECONDS: access tokens live that long, refresh tokens are issued and rotate,
// and POST /people/<name> (groups=…) moves somebody to other groups. AMR (blank
// separated): how people are said to have signed in. ACRS (blank separated): the contexts
// it knows; a login gets the first that was asked for and is known, else the first of all.
// API: the program robot gets tokens of its own: signed ones for urn:payroll, opaque ones
// else, about which gw may ask (introspection) and which robot may take back (revocation).
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const { LISTEN, ISSUER, NAME = 'op', REDIRECTS = '', ACCESS_SECONDS = '', AMR = 'pwd', ACRS = '', API = '' } = process.env;
const contexts = ACRS.split(' ').filter(Boolean);
const redirects = REDIRECTS.split(' ').filter(Boolean);
const afterLogout = [...new Set(redirects.flatMap((r) => {
  const { origin } = new URL(r);
  return [`${origin}/`, `${origin}/.identity/logout`, `${origin}/.identity/signed-out`];
}))];

const people = new Map(Object.entries({
  alice: {
    password: 'alicepw', name: 'Alice Liddell', preferred_username: 'alice', department: 'finance',
    email: 'alice@example.test', email_verified: true, groups: ['admins', 'staff'],
  },
  bob: {
    password: 'bobpw', name: 'Bob Builder', preferred_username: 'bob', department: 'sites',
    email: 'bob@example.test', email_verified: false, groups: ['staff'],
  },
}));
const many = Array.from({ length: 300 }, (_, i) => `CN=group-${i},OU=Some Department,DC=example,DC=test`);
people.set('carol', { ...people.get('bob'), password: 'carolpw', name: 'Carol Many', preferred_username: 'carol', groups: many });

const provider = new Provider(ISSUER, {
  clients: [{
    client_id: 'gw', client_secret: 'gw-secret', redirect_uris: redirects, post_logout_redirect_uris: afterLogout,
    grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'],
  }, ...(API ? [{
    client_id: 'robot', client_secret: 'robot-secret', redirect_uris: [], response_types: [], grant_types: ['client_credentials'],
  }] : [])],
  claims: {
    openid: ['sub', 'acr', 'amr', 'auth_time'], email: ['email', 'email_verified'],
    profile: ['name', 'preferred_username', 'department', 'groups'],
  },
  acrValues: contexts,
  conformIdTokenClaims: false, // the claims of the scopes are in the ID token, too
  features: { devInteractions: { enabled: false }, rpInitiatedLogout: { enabled: true, logoutSource: logoutPage },
    ...(API && {
      clientCredentials: { enabled: true }, introspection: { enabled: true }, revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (ctx, resource) => ({
          scope: 'payroll.read payroll.admin', audience: resource, accessTokenTTL: 600, accessTokenFormat: resource === 'urn:payroll' ? 'jwt' : 'opaque',
        }),
      },
    }) },
  pkce: { required: () => true },
  cookies: { keys: ['a key for tests'], names: { session: `_session_${NAME}`, interaction: `_interaction_${NAME}`, resume: `_resume_${NAME}` } },
  ...(ACCESS_SECONDS && { issueRefreshToken: async () => true, rotateRefreshToken: true }),
  ttl: { AccessToken: Number(ACCESS_SECONDS) || 600, IdToken: 600, Session: 3600, Grant: 3600, Interaction: 600 },
  interactions: { url: (ctx, interaction) => `/sign-in/${interaction.uid}` },
  async findAccount(ctx, sub) {
    const p = people.get(sub);
    if (!p) return undefined;
    const { password, ...claims } = p;
    return { accountId: sub, claims: () => ({ sub, ...claims }) };
  },
  async loadExistingGrant(ctx) { // no consent page: the operator of the client has consented
    const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope([...ctx.oidc.requestParamScopes].join(' '));
    await grant.save();
    return grant;
  },
});

if (ISSUER.startsWith('https:')) provider.proxy = true; // something in front of us ends TLS

function logoutPage(ctx, form) {
  ctx.type = 'html';
  ctx.body = `<!doctype html><title>Sign out of ${NAME}</title>${form}
<button form="op.logoutForm" type="submit" name="logout" value="yes" autofocus>Sign out of ${NAME}</button>`;
}

function signInPage(ctx, problem) {
  ctx.type = 'html';
  ctx.body = `<!doctype html><html lang="en"><title>${NAME}</title><h1>${NAME}</h1><p>${problem}</p>
<form method="post" action="${ctx.path}"><label>Name <input name="username" autofocus autocomplete="username"></label>
<label>Password <input name="password" type="password" autocomplete="current-password"></label><button>Sign in</button></form></html>`;
}

async function read(req) {
  let text = '';
  for await (const chunk of req) text += chunk;
  return new URLSearchParams(text);
}

provider.use(async (ctx, next) => {
  if (ACCESS_SECONDS && ctx.method === 'POST' && ctx.path.startsWith('/people/')) {
    people.get(ctx.path.slice('/people/'.length)).groups = (await read(ctx.req)).getAll('groups');
    ctx.status = 204;
    return undefined;
  }
  if (!ctx.path.startsWith('/sign-in/')) return next();
  if (ctx.method === 'GET') {
    await provider.interactionDetails(ctx.req, ctx.res);
    return signInPage(ctx, '');
  }
  const form = await read(ctx.req);
  const name = form.get('username');
  if (people.get(name)?.password !== form.get('password')) {
    ctx.status = 401;
    return signInPage(ctx, 'Wrong name or password.');
  }
  const { params } = await provider.interactionDetails(ctx.req, ctx.res);
  const acr = (params.acr_values ?? '').split(' ').find((c) => contexts.includes(c)) ?? contexts[0];
  const to = await provider.interactionResult(ctx.req, ctx.res, { login: { accountId: name, remember: true, amr: AMR.split(' '), acr } });
  ctx.status = 303;
  return ctx.redirect(to);
});
for (const event of ['server_error', 'authorization.error', 'grant.error', 'end_session.error']) {
  provider.on(event, (ctx, err) => console.error(event, err?.message, err?.error_description ?? ''));
}

const [host, port] = LISTEN.split(':');
const server = createServer(provider.callback());
server.listen(+port, host, () => console.log(`${NAME} at ${ISSUER}`));
process.on('SIGTERM', () => { server.closeAllConnections(); server.close(() => process.exit(0)); });
