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
    # Behind the guest: the words of a command of its own, or one guest more.
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
