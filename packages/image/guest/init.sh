#!/bin/busybox sh
# First process of the guest, in the measured initrd. It loads the drivers, opens the verified root, sets up the network, closes
# the kernel and hands over to `supervise` in the root. Every failure writes a code to the stage port and powers off.
#
# With `cloister.guest=vm` on the measured command line it brings up the owner's own system instead: the verified root with the agent
# stays aside, and once the agent has attested and opened the system disk, the disk's own first process takes this one's place.
set -u
umask 022

/bin/busybox mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mount -t devtmpfs -o nosuid,noexec,mode=0755 devtmpfs /dev
exec </dev/null >/dev/null 2>&1
ulimit -H -c 0
export DM_DISABLE_UDEV=1

stage_port=

# Without a reader at the host a write to a port blocks: after one such wait the port is given up.
write_stage() {
  [ -n "$stage_port" ] || return 0
  timeout -s KILL 2 sh -c 'echo "$1" >"$2"' stage "$1" "$stage_port" || stage_port=
}

stage() {
  read -r uptime idle </proc/uptime
  write_stage "$1 $2 ${uptime%.*}${uptime#*.}0"
}

power_off() {
  poweroff -n -f
  # Reached only if the machine has no power switch: the end of the first process is a panic, and a panic ends the VM.
  exit 1
}

fail() {
  write_stage "! guest-boot.$1"
  power_off
}

# Prints the device of the virtio-serial port of this name.
port_device() {
  for file in /sys/class/virtio-ports/*/name; do
    [ -e "$file" ] || continue
    read -r name <"$file"
    [ "$name" = "$1" ] || continue
    directory=${file%/name}
    echo "/dev/${directory##*/}"
    return
  done
}

# Prints the device of the disk of this serial.
disk_device() {
  for file in /sys/block/vd*/serial; do
    [ -e "$file" ] || continue
    read -r serial <"$file" || true
    [ "$serial" = "$1" ] || continue
    directory=${file%/serial}
    echo "/dev/${directory##*/}"
    return
  done
}

# Fails with this code when two of the files hold the same line.
refuse_twins() {
  code=$1
  shift
  seen=' '
  for file; do
    [ -e "$file" ] || continue
    line=
    read -r line <"$file" || true
    [ -n "$line" ] || continue
    case $seen in *" $line "*) fail "$code" ;; esac
    seen="$seen$line "
  done
}

# Loads the modules of these needs, in the order of the list.
load_modules() {
  while read -r need module; do
    case " $* " in *" $need "*) ;; *) continue ;; esac
    insmod "/modules/$module.ko" && continue
    case $need in *optional) ;; *) fail module-failed ;; esac
  done </modules.list
}

# --- the measured command line

mode=
root=
guest=
for word in $(cat /proc/cmdline); do
  case $word in
    cloister.mode=*) mode=${word#*=} ;;
    cloister.root=*) root=${word#*=} ;;
    cloister.guest=*) guest=${word#*=} ;;
  esac
done
if [ "$mode" = debug ]; then exec >/dev/console 2>&1; fi

# --- stage 10: ports appear a moment after their driver, which some kernels have built in
load_modules port
tries=0
until stage_port=$(port_device cloister.stage) && [ -n "$stage_port" ]; do
  tries=$((tries + 1))
  [ "$tries" -lt 40 ] || break
  usleep 25000
done
stage 10 initrd
case $mode in
  hardware | simulated | debug) ;;
  probe) power_off ;;
  *) fail command-line-invalid ;;
esac

# --- the lower bound of the clock is the time of the image
read -r epoch </epoch
[ "$(date +%s)" -ge "$epoch" ] || date -s "@$epoch" >/dev/null

# --- stage 20: the drivers of the root
load_modules root root-optional
refuse_twins port-duplicate /sys/class/virtio-ports/*/name
refuse_twins disk-duplicate /sys/block/vd*/serial
stage 20 modules

# --- stage 30: the root, whose hash is measured; a block that differs later is a panic
disk=$(disk_device cloister-root)
[ -n "$disk" ] || fail disk-missing
IFS=, read -r hash blocks offset salt rest <<END
$root
END
case $hash$salt in '' | *[!0-9a-f]*) fail command-line-invalid ;; esac
case $blocks$offset in '' | *[!0-9]*) fail command-line-invalid ;; esac
[ -z "$rest" ] || fail command-line-invalid
table="0 $((blocks * 8)) verity 1 $disk $disk 4096 4096 $blocks $((offset / 4096)) sha256 $hash $salt 1 panic_on_corruption"
dmsetup create root --readonly --table "$table" || fail verity-failed
stage 30 verity

mkdir /newroot /sysroot
mount -t erofs -o ro,nodev /dev/mapper/root /newroot || fail root-failed

# --- stage 40: the other drivers. With a second processor a Node that does nothing brings its pages into memory meanwhile: the agent starts sooner by them
read -r online </sys/devices/system/cpu/online
case $online in
  0) ;;
  *) chroot /newroot /usr/bin/node -r https -r zlib -r child_process -e 0 & ;;
esac
load_modules required optional
tee=
if [ -e /dev/sev-guest ] || [ -e /dev/tdx_guest ]; then tee=present; fi
case $mode$tee in
  simulatedpresent) fail tee-present ;;
  hardware) fail tee-absent ;;
esac

# Writes settings of the kernel, each a line of its path and its value.
harden() {
  while read -r path value; do
    echo "$value" >"/proc/sys/$path" || fail hardening-failed
  done
}

# --- a VM: its own system sets up its network and closes its kernel further as its owner wants
start_vm() {
  mkdir -p /sys/kernel/security
  mount -t securityfs -o nosuid,nodev,noexec securityfs /sys/kernel/security || fail root-failed
  read -r lockdown </sys/kernel/security/lockdown
  case $lockdown in *'[integrity]'* | *'[confidentiality]'*) ;; *) fail hardening-failed ;; esac
  umount /sys/kernel/security
  ip link set lo up || fail network-failed
  harden <<'END'
kernel/kptr_restrict 2
kernel/sysrq 0
kernel/yama/ptrace_scope 2
END

  # The agent's own view of the machine: mounts that the VM's system never sees, for it will stand on another root.
  mount -t proc -o nosuid,nodev,noexec proc /newroot/proc || fail root-failed
  mount -t sysfs -o nosuid,nodev,noexec sysfs /newroot/sys || fail root-failed
  mount -t devtmpfs -o nosuid,noexec devtmpfs /newroot/dev || fail root-failed
  mount -t tmpfs -o nosuid,nodev,mode=0755,size=64m tmpfs /newroot/run || fail root-failed
  mount -t tmpfs -o nosuid,nodev,mode=0700,size=16m tmpfs /newroot/tmp || fail root-failed
  mount -t configfs -o nosuid,nodev,noexec configfs /newroot/sys/kernel/config
  mkdir -p /newroot/run/cloister/units
  mkfifo /newroot/run/cloister/handover
  stage 40 root
  chroot /newroot /usr/bin/busybox sh /usr/lib/cloister/supervise vm &

  # One line of the agent, which is measured: device, file system, options, first process, and whether the image has cloud-init.
  # A guest whose agent ends before that powers off. The end of another child interrupts the wait, which then begins again.
  cloud=
  until read -r device type options init cloud </newroot/run/cloister/handover && [ -n "$cloud" ]; do usleep 20000; done
  mount -t "$type" -o "$options" "$device" /sysroot || fail system-mount-failed
  # A link is for the system's own root to follow.
  [ -x "/sysroot$init" ] || [ -h "/sysroot$init" ] || fail system-init-missing
  for place in dev proc sys run; do [ -d "/sysroot/$place" ] || fail system-init-missing; done
  mount -t tmpfs -o nosuid,nodev,mode=0755 tmpfs /sysroot/run || fail system-mount-failed
  mkdir -p /sysroot/run/systemd/system
  cp -a /newroot/run/cloister/units/. /sysroot/run/systemd/system/
  if [ "$cloud" = cloud-init ]; then
    mkdir -p /sysroot/run/cloister/cloud.cfg.d
    cp -a /sysroot/etc/cloud/cloud.cfg.d/. /sysroot/run/cloister/cloud.cfg.d/ &&
      cp /newroot/run/cloister/cloud.cfg /sysroot/run/cloister/cloud.cfg.d/zz_cloister.cfg &&
      mount -o bind /sysroot/run/cloister/cloud.cfg.d /sysroot/etc/cloud/cloud.cfg.d || fail system-mount-failed
  fi
  for place in sys dev proc; do
    /bin/busybox mount -o move "/$place" "/sysroot/$place" || fail system-mount-failed
  done
  exec /bin/busybox switch_root /sysroot "$init"
}

case $guest in
  '') ;;
  vm) start_vm ;;
  *) fail command-line-invalid ;;
esac

# --- mounts
mount -t tmpfs -o nosuid,nodev,mode=0755 tmpfs /newroot/run || fail root-failed
mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs /newroot/tmp || fail root-failed
mkdir -p /dev/pts /dev/shm
mount -t devpts -o nosuid,noexec,mode=0620,gid=5,ptmxmode=0666 devpts /dev/pts || fail root-failed
mount -t tmpfs -o nosuid,nodev,noexec,mode=1777 tmpfs /dev/shm || fail root-failed
mount -t cgroup2 -o nosuid,nodev,noexec,nsdelegate cgroup2 /sys/fs/cgroup || fail root-failed
mount -t securityfs -o nosuid,nodev,noexec securityfs /sys/kernel/security || fail root-failed
mount -t configfs -o nosuid,nodev,noexec configfs /sys/kernel/config || fail root-failed

# --- the network: fixed addresses, nothing learnt from the host
ip link set lo up || fail network-failed
if [ -e /sys/class/net/eth0 ]; then
  echo 1 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6
  ip addr add 10.0.2.15/24 dev eth0 && ip link set eth0 up &&
    ip route add default via 10.0.2.2 || fail network-failed
fi

# --- the kernel is closed: what follows cannot be opened again without a new boot. And an image that fits in a quarter of the memory goes to scratch,
# which is to encrypt and authenticate each sector, once its container runs
harden <<'END'
kernel/core_pattern |/bin/false
kernel/dmesg_restrict 1
kernel/kptr_restrict 2
kernel/perf_event_paranoid 3
kernel/sysrq 0
kernel/unprivileged_bpf_disabled 1
kernel/yama/ptrace_scope 2
net/ipv4/conf/all/accept_redirects 0
net/ipv4/conf/all/accept_source_route 0
net/ipv4/conf/all/rp_filter 1
net/ipv4/conf/all/send_redirects 0
net/ipv4/ip_unprivileged_port_start 0
net/ipv6/conf/all/accept_ra 0
vm/dirty_background_ratio 25
vm/dirty_ratio 40
kernel/kexec_load_disabled 1
kernel/modules_disabled 1
END
read -r lockdown </sys/kernel/security/lockdown
case $lockdown in *'[confidentiality]'*) ;; *) fail hardening-failed ;; esac
stage 40 root

# --- the root takes over; its supervisor is process 1 until the power goes
for place in sys dev proc; do
  # By its path: without /proc the shell does not find its own applets.
  /bin/busybox mount -o move "/$place" "/newroot/$place" || fail root-failed
done
exec /bin/busybox switch_root /newroot /usr/bin/busybox sh /usr/lib/cloister/supervise
