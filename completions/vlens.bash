# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for vlens and its applets. What there is to complete the
# program itself tells (`vlens complete`), so that this file never drifts.

# Set COMPREPLY to those words of $2 that begin with $1.
_vlens_words() {
	# By hand: compgen -W would split names at blanks, and expand what they hold.
	_vlens_lines "$1" "${2//[[:blank:]]/$'\n'}"
}

# Set COMPREPLY to those lines of $2 that begin with $1.
_vlens_lines() {
	local line
	COMPREPLY=()
	while IFS= read -r line; do
		[[ -z $line || $line != "$1"* ]] || COMPREPLY+=("$line")
	done <<<"$2"
}

# The guests that can be named, and files: a dump is one, too.
_vlens_guests() {
	local cur=$1 i prefix=''
	_vlens_lines "$cur" "$(vlens complete guests 2>/dev/null)"
	[[ $cur != *:* || $'\n'$(vlens complete prefixes 2>/dev/null)$'\n' != *$'\n'"${cur%%:*}:"$'\n'* ]] ||
		prefix=${cur%%:*}:
	mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -P "$prefix" -- "${cur#"$prefix"}")
	# Readline replaces only what is behind the last colon that has no quotes.
	if [[ ${raw-$cur} == *[^\\]:* && ${raw-} != [\"\']* && $COMP_WORDBREAKS == *:* ]]; then
		for i in "${!COMPREPLY[@]}"; do
			COMPREPLY[i]=${COMPREPLY[i]#"${cur%"${cur##*:}"}"}
		done
	fi
	compopt -o filenames 2>/dev/null
}

# The values $2 of option $1 of applet $3.
_vlens_value() {
	case $1 in
	-g | --guest) _vlens_guests "$2" ;;
	-s | --sort) _vlens_words "${2#-}" "$(vlens complete values "$3" "$1" 2>/dev/null)" ;;
	*) _vlens_words "$2" "$(vlens complete values "$3" "$1" 2>/dev/null)" ;;
	esac
}

# What stands behind the guest: the words of a command of its own, $@.
_vlens_command() {
	if declare -F _command_offset >/dev/null; then
		COMP_WORDS=("$@")
		COMP_CWORD=$(($# - 1))
		COMP_LINE="$*"
		COMP_POINT=${#COMP_LINE}
		_command_offset 0
	elif (($# == 1)); then
		mapfile -t COMPREPLY < <(compgen -c -- "$1")
	fi
}

# What a tool says of a guest, $@: a guest that does not answer is left alone after some seconds.
# Its names are the guest's. Of a name with "$" or "`" that is no file of this host readline leaves
# these without quotes, so that Enter would run what is in it: offer only names that no shell reads.
_vlens_inside() {
	timeout -k 1 3 "$@" 2>/dev/null </dev/null | head -c 16M | grep -axE '[[:alnum:]._+,:@%= -]+/?'
}

# Complete what is in guest $2, for applet $1: word $3, behind word $4. False: nothing of it is.
_vlens_in_guest() {
	local applet=$1 guest=$2 cur=$3 prev=$4 head i
	# Readline would write the word anew, without these quotes.
	[[ $cur != *[\$\`!]* ]] || return 0
	case $applet/$prev in
	vps/-p | vps/-q | vps/--pid | vps/--ppid | vlsof/-p | vpidstat/-p)
		head=${cur%"${cur##*,}"}
		_vlens_lines "${cur#"$head"}" "$(_vlens_inside vpidlist --no-headers -o pid "$guest" | tr -d ' ')"
		COMPREPLY=("${COMPREPLY[@]/#/"$head"}")
		;;
	vls/* | vcat/*)
		[[ $cur != -* ]] || return
		head=${cur%"${cur##*/}"}
		_vlens_lines "${cur#"$head"}" "$(_vlens_inside vls --pause=none "$guest" -1Ap -- "${head:-/}")"
		COMPREPLY=("${COMPREPLY[@]/#/"$head"}")
		# The names are a guest's: readline quotes those of files.
		compopt -o filenames 2>/dev/null
		[[ ${COMPREPLY[*]} != */ ]] || compopt -o nospace 2>/dev/null
		;;
	vpeek/*)
		# The symbols are many.
		((${#cur} < 3)) ||
			_vlens_lines "$cur" "$(timeout -k 1 3 vcat --pause=none "$guest" /proc/kallsyms 2>/dev/null </dev/null | head -c 64M |
				awk -v p="$cur" 'index($3, p) == 1 && $3 ~ /^[A-Za-z0-9_.]+$/ { print $3 }' | sort -u)"
		compopt -o filenames 2>/dev/null
		;;
	*) return 1 ;;
	esac
	# As in _vlens_guests.
	if [[ ${raw-$cur} == *[^\\]:* && ${raw-} != [\"\']* && $COMP_WORDBREAKS == *:* ]]; then
		for i in "${!COMPREPLY[@]}"; do
			COMPREPLY[i]=${COMPREPLY[i]#"${cur%"${cur##*:}"}"}
		done
	fi
	return 0
}

# Complete the last of the arguments $2... of applet $1.
_vlens_applet() {
	local applet=$1 cur=${!#} model valued verbs
	shift
	valued=$'\n'$(vlens complete valued "$applet" 2>/dev/null)$'\n'
	while (($# > 1)) && [[ $1 == -* ]]; do
		if [[ $valued == *$'\n'"$1"$'\n'* ]]; then
			if (($# == 2)); then
				_vlens_value "$1" "$cur" "$applet"
				return
			fi
			shift
		fi
		shift
	done
	if (($# == 1)); then
		case $cur in
		--*=*) _vlens_value "${cur%%=*}" "${cur#*=}" "$applet" ;;
		-*)
			_vlens_words "$cur" "$(vlens complete options "$applet" 2>/dev/null)"
			[[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace 2>/dev/null
			;;
		*)
			verbs=$(vlens complete verbs "$applet" 2>/dev/null)
			if [[ -n $verbs ]]; then _vlens_words "$cur" "$verbs"; else _vlens_guests "$cur"; fi
			;;
		esac
		return
	fi
	! _vlens_in_guest "$applet" "$1" "$cur" "${*: -2:1}" || return 0
	shift
	model=$(vlens complete model "$applet" 2>/dev/null)
	if [[ -n $model ]]; then
		_vlens_command "$model" "$@"
	elif [[ $applet == dump ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		compopt -o filenames 2>/dev/null
	elif [[ $applet != vcat && $applet != vpeek && $applet != vexec ]]; then
		_vlens_guests "$cur" # one more
	elif [[ $applet == vexec ]]; then
		[[ $1 == -- ]] && (($# > 1)) && shift
		_vlens_command "$@"
	fi
}

# Set words to those of the line $1, without their quotes, and raw to the last one with
# them: at blanks only, as COMP_WORDS are cut at every ":" and "=".
_vlens_split() {
	local i c quote='' word='' some=''
	words=() raw=''
	for ((i = 0; i < ${#1}; i++)); do
		c=${1:i:1}
		if [[ $c == $'\\' && $quote != "'" ]]; then
			((++i))
			word+=${1:i:1} raw+=$c some=1
			c=${1:i:1}
		elif [[ -n $quote && $c == "$quote" ]]; then
			quote=''
		elif [[ -z $quote && ($c == '"' || $c == "'") ]]; then
			quote=$c some=1
		elif [[ -z $quote && $c == [[:blank:]] ]]; then
			[[ -z $some ]] || words+=("$word")
			word='' some='' raw=''
			continue
		else
			word+=$c some=1
		fi
		raw+=$c
	done
	words+=("$word")
}

_vlens() {
	local line=${COMP_LINE:0:COMP_POINT} words raw name
	COMPREPLY=()
	_vlens_split "$line"
	name=${words[0]##*/}
	if [[ $name != vlens ]]; then
		_vlens_applet "$name" "${words[@]:1}"
	elif ((${#words[@]} == 2)); then
		_vlens_words "${words[1]}" \
			"--list --help --version $(vlens complete commands 2>/dev/null) $(vlens complete applets 2>/dev/null)"
	elif [[ ${words[1]} == help ]]; then
		((${#words[@]} > 3)) || _vlens_words "${words[2]}" "$(vlens complete helped 2>/dev/null)"
	else
		name=${words[1]}
		# "vmstat" begins with a v, too, and is no applet.
		vlens complete options "$name" >/dev/null 2>&1 || name=v$name
		_vlens_applet "$name" "${words[@]:2}"
	fi
}

# shellcheck disable=SC2046 # names
complete -F _vlens vlens $(vlens complete applets 2>/dev/null)
