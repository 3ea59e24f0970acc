import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import certificates from '../../packages/daemon/test/vectors/nebula/long-lived.json' with { type: 'json' };

/** Says what Nebula says, and waits. A shell: a hundred of them must fit beside the daemon. */
const STUB = `#!/bin/sh
[ "$1" = -test ] && exit 0
echo '{"level":"INFO","msg":"Nebula interface is active","interface":"disabled","networks":["10.77.0.2/24"],"udpAddr":"0.0.0.0:1"}'
trap 'kill $!; exit 0' TERM
sleep 86400 &
wait
`;

/** Makes the stub program in the folder, and a team without device for each name. Returns the path of the program. */
export function makeStubTeams(folder: string, configRoot: string, names: readonly string[]): string {
  const nebula = join(folder, 'nebula');
  writeFileSync(nebula, STUB);
  chmodSync(nebula, 0o755);
  const pki = { ca: join(folder, 'ca.crt'), cert: join(folder, 'host.crt'), key: join(folder, 'host.key') };
  writeFileSync(pki.ca, certificates.ca);
  writeFileSync(pki.cert, certificates.host);
  writeFileSync(pki.key, 'a key that nobody reads\n', { mode: 0o600 });
  for (const name of names) {
    mkdirSync(join(configRoot, name), { recursive: true });
    writeFileSync(join(configRoot, name, 'config.yml'), JSON.stringify({ pki, tun: { disabled: true } }));
  }
  return nebula;
}
