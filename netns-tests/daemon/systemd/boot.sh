#!/bin/sh
# Becomes systemd in a root of its own: the host's /usr read-only, everything else new and gone with it.
#
#   boot.sh ROOT PACKAGE BINARY CONFIG    as pid 1 of new mount, pid, uts, ipc and cgroup namespaces
#
# ROOT is an empty directory, PACKAGE the source tree, CONFIG a directory that becomes /etc/evenkeel. The binary, the
# unit and the users are where README.md puts them, but that /usr/lib is read-only: those two lie in /etc.
set -eu
root=$1 package=$2 binary=$3 config=$4
mount --make-rprivate /
mount -t tmpfs -o mode=755 root "$root"
cd "$root"
mkdir -p usr .bin etc/systemd/system etc/sysusers.d var/log var/lib var/tmp run tmp proc sys dev root home old

mount --bind /usr usr
mount -o remount,bind,ro usr
mount --bind /usr/bin .bin
mount -o remount,bind,ro .bin
for link in bin sbin lib lib32 lib64; do
    [ ! -L "/$link" ] || ln -s "$(readlink "/$link")" "$link"
done
# /usr/bin is new, so that the program can be where the unit looks for it.
mount -t tmpfs -o mode=755 bin usr/bin
chroot . /.bin/sh -c '/.bin/ln -s /.bin/* /usr/bin/'
rm -f usr/bin/evenkeel
touch usr/bin/evenkeel
mount --bind "$binary" usr/bin/evenkeel

mount -t proc proc proc
# What belongs to the whole machine stays out of reach; the network's settings are those of the lab's host.
mount --bind proc/sys/net proc/sys/net
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount --bind proc/sys/net proc/sys/net
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 dev dev
for device in null zero full random urandom tty; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/shm dev/pts
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs run run
mount -t tmpfs tmp tmp

echo 'root:x:0:0:root:/root:/bin/sh' >etc/passwd
echo 'root:x:0:' >etc/group
echo lb1 >etc/hostname
printf 'passwd: files\nhosts: files\n' >etc/nsswitch.conf
echo '127.0.0.1 localhost' >etc/hosts
: >etc/machine-id
[ ! -e /etc/ld.so.cache ] || cp /etc/ld.so.cache etc/
[ ! -d /etc/alternatives ] || cp -a /etc/alternatives etc/
cp "$package/config/systemd/evenkeel.service" etc/systemd/system/
cp "$package/config/systemd/evenkeel.sysusers.conf" etc/sysusers.d/evenkeel.conf
cp -R "$config" etc/evenkeel
chmod -R go+rX etc/evenkeel

# What would look for the machine's devices, clocks and kernel.
for unit in systemd-sysctl.service systemd-modules-load.service systemd-binfmt.service systemd-udevd.service \
    systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service \
    systemd-random-seed.service systemd-remount-fs.service kmod-static-nodes.service systemd-hwdb-update.service \
    systemd-update-utmp.service systemd-journald-audit.socket systemd-tmpfiles-setup-dev.service \
    systemd-timesyncd.service systemd-pstore.service systemd-rfkill.socket systemd-networkd.service \
    proc-sys-fs-binfmt_misc.automount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount \
    sys-fs-fuse-connections.mount dev-hugepages.mount dev-mqueue.mount dbus.socket dbus.service; do
    ln -s /dev/null "etc/systemd/system/$unit"
done

pivot_root . old
umount -l old
rmdir old
exec env -i container=evenkeel-test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd \
    --log-target=journal --log-level=notice --show-status=no --crash-reboot=no --unit=basic.target </dev/null
