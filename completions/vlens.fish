# SPDX-License-Identifier: GPL-2.0-or-later
# fish completion for vlens and its applets. What there is to complete the
# program itself tells (`vlens complete`), so that this file never drifts.

# The guests that can be named, and files: a dump is one, too. $argv: the word.
function __vlens_guests
    vlens complete guests 2>/dev/null
    for prefix in (vlens complete prefixes 2>/dev/null)
        if string match -q "$prefix*" -- $argv
            string replace -r '^' $prefix -- (__fish_complete_path (string replace $prefix '' -- $argv))
            return
        end
    end
    __fish_complete_path $argv
end

# The values of option $argv[1] of applet $argv[2].
function __vlens_values
    switch $argv[1]
        case -g --guest
            __vlens_guests ''
        case '*'
            vlens complete values $argv[2] $argv[1] 2>/dev/null
    end
end

# What a tool says of a guest: one that does not answer is left alone after some seconds. Its names
# are the guest's: offer only those that no shell and no terminal takes for more than a name.
function __vlens_inside
    timeout -k 1 3 $argv 2>/dev/null </dev/null | head -c 16M | grep -axE '[[:alnum:]._+,:@%= -]+/?'
end

# What is in guest $argv[2] for applet $argv[1]: word $argv[3], behind word $argv[4].
# False: nothing of it is.
function __vlens_in_guest
    set -l guest (string unescape -- $argv[2])
    set -l cur $argv[3]
    switch "$argv[1]/$argv[4]"
        case vps/-p vps/-q vps/--pid vps/--ppid vlsof/-p vpidstat/-p
            set -l head (string replace -r '[^,]*$' '' -- $cur)
            for pid in (__vlens_inside vpidlist --no-headers -o pid $guest | string trim)
                printf '%s\n' $head$pid
            end
        case 'vls/*' 'vcat/*'
            string match -q -- '-*' $cur; and return 1
            set -l head (string replace -r '[^/]*$' '' -- $cur)
            set -l folder $head
            test -n "$folder"; or set folder /
            for name in (__vlens_inside vls --pause=none $guest -1Ap -- $folder)
                printf '%s\n' $head$name
            end
        case 'vpeek/*'
            # The symbols are many.
            test (string length -- $cur) -ge 3
            and timeout -k 1 3 vcat --pause=none $guest /proc/kallsyms 2>/dev/null </dev/null | head -c 64M |
                awk -v p=$cur 'index($3, p) == 1 && $3 ~ /^[A-Za-z0-9_.]+$/ { print $3 }' | sort -u
        case '*'
            return 1
    end
    return 0
end

# The last word of $argv[2..] for applet $argv[1].
function __vlens_applet
    set -l applet $argv[1]
    set -l words $argv[2..-2]
    set -l cur $argv[-1]
    set -l valued (vlens complete valued $applet 2>/dev/null)
    set -l i 1
    while test $i -le (count $words); and string match -q -- '-*' $words[$i]
        if contains -- $words[$i] $valued
            if test $i -eq (count $words)
                __vlens_values $words[$i] $applet
                return
            end
            set i (math $i + 1)
        end
        set i (math $i + 1)
    end
    if test $i -gt (count $words)
        if string match -q -- '--*=*' $cur
            set -l option (string split -m 1 = -- $cur)[1]
            string replace -r '^' -- "$option=" (__vlens_values $option $applet)
        else if string match -q -- '-*' $cur
            vlens complete options $applet 2>/dev/null
        else
            set -l verbs (vlens complete verbs $applet 2>/dev/null)
            if test -n "$verbs"
                printf '%s\n' $verbs
            else
                __vlens_guests $cur
            end
        end
        return
    end
    # Behind the guest: what is in it, the words of a command of its own, or one guest more.
    __vlens_in_guest $applet $words[$i] $cur $words[-1]; and return
    set -l rest $words[(math $i + 1)..-1]
    set -l model (vlens complete model $applet 2>/dev/null)
    if test -n "$model"
        complete -C (string join ' ' -- $model $rest $cur)
    else if test $applet = vexec
        test "$rest[1]" = --; and set -e rest[1]
        complete -C (string join ' ' -- $rest $cur)
    else if not contains -- $applet vcat vpeek
        __vlens_guests $cur
    end
end

function __vlens_complete
    set -l words (commandline -opc)
    set -l cur (commandline -ct)
    set -l name (string replace -r '.*/' '' -- $words[1])
    if test "$name" != vlens
        __vlens_applet $name $words[2..-1] "$cur"
    else if test (count $words) -eq 1
        printf '%s\n' --list --help --version
        vlens complete commands 2>/dev/null
        vlens complete applets 2>/dev/null
    else if test "$words[2]" = help
        test (count $words) -eq 2; and vlens complete helped 2>/dev/null
    else
        set name $words[2]
        # "vmstat" begins with a v, too, and is no applet.
        vlens complete options $name >/dev/null 2>&1; or set name v$name
        __vlens_applet $name $words[3..-1] "$cur"
    end
end

for command in vlens (vlens complete applets 2>/dev/null)
    complete -c $command -f -a '(__vlens_complete)'
end
