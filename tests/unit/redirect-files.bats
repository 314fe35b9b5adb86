# SPDX-License-Identifier: GPL-2.0-or-later
# Redirection: which files are the guest's, and which the host's. The host's own kernel answers here,
# so no guest is needed. $BUILD is the directory of vexec-test.

bats_require_minimum_version 1.5.0

setup() {
	V=${BUILD:-.}/vexec-test
	T=$BATS_TEST_TMPDIR
}

@test "openssl.cnf is the guest's, and empty for a program that has loaded OpenSSL" {
	mkdir -p "$T/usr/lib/ssl"
	echo guest >"$T/usr/lib/ssl/openssl.cnf"
	[ "$("$V" -r "$T" cat /usr/lib/ssl/openssl.cnf)" = guest ]
	local py=/usr/bin/python3
	[ -x "$py" ] || skip "python3 is not installed"
	run -0 --separate-stderr "$V" -r "$T" "$py" -c 'print(open("/usr/lib/ssl/openssl.cnf").read(), end="")'
	[ "$output" = guest ]
	ldd "$("$py" -c 'import _hashlib; print(_hashlib.__file__)')" | grep -q libcrypto || skip "no module with the library"
	run -0 --separate-stderr "$V" -r "$T" "$py" -c 'import _hashlib
print(open("/usr/lib/ssl/openssl.cnf").read(), end="")'
	[ -z "$output" ]
}

@test "without the guest's passwd ps shows numbers, never the host's names" {
	run "$V" -p /etc/passwd ps -eo user:20
	[ "$status" -eq 0 ]
	[[ $output != *root* ]]
	mkdir -p "$T/etc"
	echo 'superuser:x:0:0::/:/bin/sh' >"$T/etc/passwd"
	[ "$("$V" -r "$T" ps -o user:20= -p 1)" = superuser ]
	# A program that reads the file itself gets an error, not an empty file.
	run "$V" -s -p /etc/passwd ps -eo user:20
	[[ $output == *"names are numbers"* ]]
	run "$V" -s -p /etc/passwd cat /etc/passwd
	[[ $status -eq 1 && $output == *"Input/output error"* && $output != *"names are numbers"* ]]
	run "$V" -s ps -eo user:20
	[[ $status -eq 0 && $output == *"unanswered 0 "* && $output != *"names are numbers"* ]]
}

@test "paths given to the guest by -G are the guest's; the loader's libraries are the host's" {
	mkdir -p "$T/usr/share/vlens-guest" "$T/lib/x86_64-linux-gnu" "$T/root"
	: >"$T/lib/x86_64-linux-gnu/libc.so.6"
	[ "$("$V" -r "$T" -G /usr/share/ ls /usr/share)" = vlens-guest ]
	[ "$("$V" -r "$T" ls /usr/share)" = vlens-guest ]
	mkdir -p "$T/usr/share/locale"
	[ "$("$V" -r "$T" ls /usr/share/locale)" = "" ]
	[ "$("$V" -r "$T" -G /usr/share/locale ls /usr/share/locale)" = "" ]
	[ "$("$V" -r "$T" -G / stat -c %s /lib/x86_64-linux-gnu/libc.so.6)" = 0 ]
	"$V" -r "$T" -G / ls / | grep -qx lib
}

# Makes a home with the same files on the host ($T/home) and in the guest (below $T/guest).
two_homes() {
	mkdir -p "$T/home/.ssh" "$T/guest$T/home/.ssh" "$T/bin"
	export HOME=$T/home
	for f in .bashrc .ssh/authorized_keys data; do
		echo "host $f" >"$T/home/$f"
		echo "guest $f" >"$T/guest$T/home/$f"
	done
}

@test "these files are the guest's: dot files, the working folder, /opt, /etc, /usr" {
	two_homes
	cd "$HOME"
	[ "$("$V" -r "$T/guest" cat ~/.bashrc .bashrc .ssh/authorized_keys "$HOME/data" ./data | sort -u)" = \
		"$(printf 'guest %s\n' .bashrc .ssh/authorized_keys data)" ]
	[ "$("$V" -r "$T/guest" sh -c 'cat ../home/data')" = "guest data" ]
	# shellcheck disable=SC2016 # bash expands it
	[ "$("$V" -r "$T/guest" bash -c 'pwd; read x <~/.bashrc; echo $x')" = "$HOME"$'\n'"guest .bashrc" ]
	rm "$T/home/data"
	[ "$("$V" -r "$T/guest" find . -type f | wc -l)" = 3 ]
	for f in opt/x etc/profile etc/ssl/x etc/alternatives/awk usr/bin/cat usr/lib/x usr/share/x etc/ld.so.preload; do
		mkdir -p "$T/guest/$(dirname $f)"
		echo "guest $f" >"$T/guest/$f"
		[ "$("$V" -r "$T/guest" /usr/bin/cat /$f)" = "guest $f" ]
	done
}

@test "the working folder is / if the guest lacks the host's working folder" {
	mkdir "$T/here"
	cd "$T/here"
	# Where the guest has no answer about it, the program keeps the path.
	[ "$("$V" -p "$T/here" /bin/pwd)" = "$T/here" ]
	rmdir "$T/here"
	[ "$("$V" sh -c 'pwd -P')" = / ]
}

@test "a program's own settings are the host's, for that program only" {
	two_homes
	echo 'echo mine' >"$HOME/.bashrc"
	run "$V" -r "$T/guest" bash -ic 'cat ~/.bashrc' </dev/null
	[[ $output == *mine*"guest .bashrc"* ]]
	ln -s "$T/bin/rc" "$HOME/.dircolors"
	echo "TERM x" >"$T/bin/rc"
	"$V" dircolors -b "$HOME/.dircolors"
}

@test "files of the host cannot be changed" {
	two_homes
	mkdir "$T/work"
	cd "$T/work"
	echo old >file
	for c in 'rm file' 'echo x >file' 'echo x >>file' 'echo x >new' 'mkdir d' 'mv file g' 'ln file g' \
		'ln -s x g' 'chmod 777 file' 'touch file' 'truncate -s 0 file' 'rm ~/.bashrc' 'echo x >../f' \
		'echo x >/dev/shm/vlens-x' 'cp file copy' 'tee new </dev/null' 'mkfifo fifo' 'setfattr -n user.x -v 1 file' \
		'exec 9<>file' '/usr/bin/python3 -c "open(\"file\",\"r+\")"'; do
		[[ $c != setfattr* ]] || command -v setfattr >/dev/null || continue
		run "$V" -s sh -c "$c"
		[ "$status" -ne 0 ] || { echo "$c: status 0"; false; }
		[[ $output == *"Read-only file system"*"denied: "* ]] || { echo "$c: $output"; false; }
	done
	# An inherited descriptor can be written. Its file's mode, owner, times and attributes
	# cannot be changed.
	before=$(stat -c '%a %u %s %i' file)
	"$V" /usr/bin/python3 -c '
import os
for f in (lambda: os.fchmod(1, 0o777), lambda: os.fchown(1, 1, 1), lambda: os.utime(1, (1, 1)),
          lambda: os.setxattr(1, "user.x", b"1"), lambda: os.removexattr(1, "user.x")):
    try: f()
    except OSError as e: print(e.errno)
    else: print("done")' >out
	[ "$(sort -u out)" = 30 ]
	[ "$(stat -c '%a %u %s %i' file)" = "$before" ]
	[ "$(ls)" = $'file\nout' ]
	[ "$(cat file ~/.bashrc)" = $'old\nhost .bashrc' ]
}

@test "output: redirection, /dev/stdout, /proc/self/fd, without more rights than the descriptor" {
	"$V" sh -c 'echo a; echo b >/dev/stderr; echo c | tee /dev/stdout >/dev/null' >"$T/o" 2>"$T/e"
	[ "$(cat "$T/o" "$T/e")" = $'a\nb' ] || [ "$(cat "$T/o" "$T/e")" = $'a\nc\nb' ]
	run "$V" sh -c 'echo x >/dev/stdin' <"$T/o"
	[ "$status" -ne 0 ]
	run "$V" sh -c 'echo x >/proc/self/fd/0' <"$T/o"
	[ "$status" -ne 0 ]
	[ "$("$V" cat <(echo one) <(echo two))" = $'one\ntwo' ]
	[ "$("$V" cat /dev/stdin <<<in)" = in ]
	"$V" sh -c 'echo x >/dev/null; head -c 3 /dev/zero | wc -c' | grep -qx 3
}

@test "the folder of --host-files: writable or read-only, and no path leads out of it" {
	mkdir "$T/f" "$T/out"
	echo secret >"$T/out/s"
	ln -s "$T/out" "$T/f/link"
	ln -s ../out/s "$T/f/s"
	cd "$T/f"
	"$V" -F "$T/f" sh -ec 'pwd; echo a >a; mkdir d; mv a d/b; ln d/b c; ln -s c e; cat e; echo more >>c
		chmod 600 c; touch -d @5 c; rm d/b; rmdir d; cp -p c g; sed -i s/a/z/ g; truncate -s 1 c'
	[ "$(cat g)" = $'z\nmore' ]
	[ "$(stat -c '%s %a' c)" = "1 600" ]
	chmod 4755 "$T/f/g"
	"$V" -F "$T/f" chmod 6755 g
	[ "$(stat -c %a g)" = 755 ]
	for c in 'cat s' 'cat link/s' 'echo x >s' 'echo x >link/n' 'rm link/s' 'echo x >../n' 'mv g ../g' 'ln ../out/s h' \
		'mkdir link/d' "chmod 777 $T/f/../out/s"; do
		run "$V" -F "$T/f" sh -c "$c"
		[ "$status" -ne 0 ] || { echo "$c: status 0"; false; }
	done
	[ ! -e "$T/n" ]
	[ ! -e "$T/out/n" ]
	[ ! -e "$T/g" ]
	[ "$(cat "$T/out/s")" = secret ]
	for c in 'echo x >g' 'rm g' 'mkdir d' 'touch g'; do
		run "$V" -F "$T/f:ro" sh -c "$c"
		[ "$status" -ne 0 ] || { echo "$c: status 0"; false; }
	done
	[ "$("$V" -F "$T/f:ro" cat g)" = $'z\nmore' ]
	# shellcheck disable=SC2016 # the script expands it
	printf 'echo "script $1"\n' >script.sh
	[ "$("$V" -F "$T/f:ro" sh ./script.sh x)" = "script x" ]
}

@test "commands in the guest's dot files are not run" {
	mkdir -p "$T$HOME"
	echo 'echo owned' | tee "$T$HOME/.bashrc" >"$T/etc-bashrc"
	mkdir -p "$T/etc"
	mv "$T/etc-bashrc" "$T/etc/bash.bashrc"
	run "$V" -r "$T" bash -ic 'echo fine' </dev/null
	[[ $output == *fine* && $output != *owned* ]]
}
