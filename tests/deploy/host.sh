#!/usr/bin/env bash
# One host with a network, processes, a disk and a home of its own, and sshd. `hosts.py` starts it as the first process of new
# namespaces; it ends with that process. What a host writes stays in memory, but for its home, /shared and VISIBLE.
#
# usage: host.sh NAME ADDRESS GATEWAY FOLDER VISIBLE...
#   FOLDER holds homes/NAME, shared/, key.pub, and an empty disks/NAME; VISIBLE are folders of the machine that the host needs too.
set -euo pipefail
name=$1 address=$2 gateway=$3 folder=$4
shift 4
user=mixwright
disk=$folder/disks/$name
root=$disk/root

# The machine's disk below, and above it, in memory, what the host writes.
mount -t tmpfs "disk-$name" "$disk"
mkdir "$disk/upper" "$disk/work" "$root"
mount -t overlay "root-$name" -o "lowerdir=/,upperdir=$disk/upper,workdir=$disk/work" "$root"

show() { # PATH-HERE PATH-THERE
    mkdir -p "$root$2"
    mount --bind "$1" "$root$2"
}
for visible in "$@"; do show "$visible" "$visible"; done
show "$folder/homes/$name" "/home/$user"
show "$folder/shared" /shared
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mkdir -p "$root/tmp/ray" "$root/run/sshd"
for own in /dev/shm /tmp/ray; do mount -t tmpfs "own-$name" "$root$own"; done
mount -t tmpfs -o mode=755 "own-$name" "$root/run/sshd"

# The user has the number of root, whose packages it must be able to read wherever they are, but a name and a home of its own.
printf '%s:x:0:0::/home/%s:/bin/bash\n' "$user" "$user" | cat - /etc/passwd >"$root/etc/passwd.new"
mv "$root/etc/passwd.new" "$root/etc/passwd"
printf '127.0.0.1 localhost\n%s %s\n' "$address" "$name" >"$root/etc/hosts"
hostname "$name"

until ip link show eth0 &>/dev/null; do sleep 0.05; done
ip link set lo up
ip address add "$address/24" dev eth0
ip link set eth0 up
ip route add default via "$gateway"

ssh-keygen -q -t ed25519 -N '' -f "$root/run/sshd/host_key"
# bash stays the first process, since the first one has to collect the orphans of all others.
exec chroot "$root" bash -c '/usr/sbin/sshd -D -e -f /dev/null -h /run/sshd/host_key -o PidFile=none & echo ready; wait $!'
