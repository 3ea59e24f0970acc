// What an installation tells the service manager. The installed `heddle` knows units and jobs; this calls it.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const UNIT_FOLDERS = ['/etc/systemd/system', '/Library/LaunchDaemons'];

/** Starts a daemon as a service, or where no service manager runs says how to start it by hand. */
export function startService(heddle, daemon, program) {
  const verb = process.platform === 'darwin' ? 'install-launchd' : 'install-systemd';
  if (process.platform === 'darwin' || existsSync('/run/systemd/system'))
    return call(heddle, [verb, '--daemon', daemon]);
  const { stdout, stderr, status } = spawnSync(
    heddle[0],
    [...heddle.slice(1), verb, '--daemon', daemon, '--dry-run', '--json'],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`Command "heddle ${verb}" ended with ${status}: ${stdout}${stderr}`);
  const [, , ...flags] = JSON.parse(stdout).start;
  process.stdout.write(
    `systemd does not run here; start the ${daemon} daemon by hand, as root:\n  ${[program, ...flags].join(' ')}\n`,
  );
}

/** Stops a daemon, has it remove its devices, and removes its unit, logs and state. */
export function removeService(heddle, daemon) {
  call(heddle, ['uninstall', '--daemon', daemon]);
}

/** Restarts what runs from a package that was replaced: it would miss files that it has not loaded yet. */
export function restartServices(daemons) {
  for (const daemon of daemons) {
    const label = `com.${daemon}.daemon`;
    if (existsSync(`/Library/LaunchDaemons/${label}.plist`))
      spawnSync('launchctl', ['kickstart', '-k', `system/${label}`]);
    const unit = `${daemon}_daemon.service`;
    if (existsSync('/run/systemd/system') && existsSync(`/etc/systemd/system/${unit}`))
      spawnSync('systemctl', ['try-restart', unit], { stdio: 'inherit' });
  }
}

/** Units and jobs that run something of the package, those of the teams daemon for example. */
export function findUsers(library) {
  return UNIT_FOLDERS.filter((folder) => existsSync(folder)).flatMap((folder) =>
    readdirSync(folder)
      .filter((name) => /\.(service|plist)$/.test(name))
      .map((name) => join(folder, name))
      .filter((path) => mentions(path, `${library}/`)),
  );
}

function mentions(path, text) {
  try {
    return readFileSync(path, 'utf8').includes(text);
  } catch {
    // A link to /dev/null or to nothing.
    return false;
  }
}

function call([program, ...args], more) {
  const { status, error } = spawnSync(program, [...args, ...more], { stdio: 'inherit' });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`Command "heddle ${more.join(' ')}" ended with ${status ?? 'a signal'}`);
}
