#!/bin/sh
# Boots systemd in namespaces of its own, over a copy of this machine's files that lives in memory.
#
#   booted-systemd.sh boot REPOSITORY NODE
#
# Prints "pid N", systemd's as this machine counts. Goes on until standard input ends, whoever held it and however that
# ended. Then everything in there is killed and nothing is left: files, mounts, links and processes go with the last
# process, the control groups are removed here.
set -eu
umask 022
export LC_ALL=C

# The control groups of this process, one of each hierarchy. What is below them escapes no limit that holds for us.
own_groups() {
  unified=/sys/fs/cgroup
  [ -e $unified/cgroup.procs ] || unified=/sys/fs/cgroup/unified
  while IFS=: read -r _ controllers path; do
    place=/sys/fs/cgroup/${controllers#name=}
    [ -n "$controllers" ] || place=$unified
    [ ! -e "$place/cgroup.procs" ] || echo "$place${path%/}"
  done </proc/self/cgroup
}

make_groups() {
  for group in $groups; do
    mkdir "$group"
    # A cpuset takes no process before it has both.
    for file in cpuset.cpus cpuset.mems; do
      [ ! -e "$group/cpuset.cpu_exclusive" ] || cat "${group%/*}/$file" >"$group/$file"
    done
  done
}

# The kernel takes a moment to empty them.
remove_groups() {
  for group in $groups; do
    tries=0
    while [ -d "$group" ] && [ $tries -lt 100 ]; do
      find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && break
      tries=$((tries + 1))
      sleep 0.05
    done
  done
}

boot() {
  groups=$(own_groups | sed "s|\$|/heddle-systemd-$$|")
  [ -n "$groups" ] || { echo 'no control groups are mounted at /sys/fs/cgroup' >&2; exit 1; }
  trap remove_groups EXIT
  make_groups
  exec 3<&0
  sh "$0" enter "$groups" "$@" 3<&- &
  machine=$!
  # Systemd rather than unshare, which then waits until nothing is left of it.
  { cat <&3; kill -KILL $(cat /proc/$machine/task/$machine/children) || kill -KILL $machine; } >/dev/null 2>&1 &
  wait $machine || exit 1
}

enter() {
  for group in $1; do echo $$ >"$group/cgroup.procs"; done
  shift
  # What namespaces do not keep apart: modules, the clock, ports of the hardware, the kernel's log.
  exec setpriv --bounding-set=-sys_module,-sys_time,-sys_rawio,-syslog \
    unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child sh "$0" inside "$@"
}

# Process 1 from here on.
inside() {
  # This is still the view of the machine.
  read -r pid _ </proc/self/stat
  mount -t tmpfs -o mode=0755 heddle /run
  mkdir /run/upper /run/work /run/root
  mount -t overlay -o lowerdir=/,upperdir=/run/upper,workdir=/run/work heddle /run/root
  cd /run/root
  mount_kernel
  mount_devices
  mount -t tmpfs -o mode=0755 heddle run
  mount_own "$1" "$2"
  keep_little
  pivot_root . .
  umount -l .
  echo "pid $pid"
  exec env -i container=heddle PATH="$PATH" /lib/systemd/systemd --unit=multi-user.target </dev/null >/dev/null 2>&1
}

mount_kernel() {
  mount -t proc proc proc
  for path in proc/sys proc/sysrq-trigger; do
    [ ! -e $path ] || mount --bind -o ro $path $path
  done
  mount -t sysfs -o ro sysfs sys
  if [ -e /sys/fs/cgroup/cgroup.procs ]; then
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    return
  fi
  mount -t tmpfs -o mode=0755 heddle sys/fs/cgroup
  while IFS=: read -r _ controllers _; do
    place=sys/fs/cgroup/${controllers#name=}
    [ -n "$controllers" ] || place=sys/fs/cgroup/unified
    mkdir "$place"
    case $controllers in
      '') mount -t cgroup2 cgroup2 "$place" ;;
      name=*) mount -t cgroup -o "none,$controllers" cgroup "$place" ;;
      *) mount -t cgroup -o "$controllers" cgroup "$place" ;;
    esac
  done </proc/self/cgroup
}

mount_devices() {
  mount -t tmpfs -o mode=0755 heddle dev
  mkdir dev/net dev/pts dev/shm
  mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
  mount -t tmpfs heddle dev/shm
  while read -r name major minor; do mknod -m 0666 dev/"$name" c "$major" "$minor"; done <<END
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
console 1 3
net/tun 10 200
END
  ln -s pts/ptmx dev/ptmx
  ln -s /proc/self/fd dev/fd
}

# The checkout, the Node.js of the test, and what differs from the machine: mounts are not seen through an overlay.
mount_own() {
  mkdir -p "./$1" opt/heddle-test/bin run/heddle-test/upper
  : >opt/heddle-test/bin/node
  mount --bind -o ro "$1" "./$1"
  mount --bind -o ro "$2" opt/heddle-test/bin/node
  mount --bind -o ro /run/upper run/heddle-test/upper
}

# Nothing of this machine starts: what is enabled here, by its administrator or its vendor, is forgotten but the journal.
keep_little() {
  rm -rf etc/systemd/system etc/fstab
  mkdir etc/systemd/system
  mount -t tmpfs heddle lib/systemd/system-generators
  mkdir -p run/systemd/system run/systemd/journald.conf.d
  printf '[Journal]\nStorage=volatile\n' >run/systemd/journald.conf.d/heddle.conf
  for unit in lib/systemd/system/*.target.wants/* tmp.mount; do
    case ${unit##*/} in
      systemd-journald*) ;;
      *) ln -sf /dev/null "run/systemd/system/${unit##*/}" ;;
    esac
  done
}

"$@"
