#!/bin/sh
# Make .venv with the pinned dependencies and fetch Delta's jars, unless that is done; `make` calls this script.
# It downloads nothing before it has found a suitable Python and Java.
#
# In .venv, .installed holds the fingerprint once all packages are installed, and .complete once Spark worked with them.
# .unfinished is a link to the id of the process that is installing; if that process is gone, it was interrupted.
set -eu
cd "$(dirname "$0")/.."

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

require_java() {
    java=${JAVA_HOME:+$JAVA_HOME/bin/}java
    install='install it with: sudo apt-get install -y openjdk-17-jre-headless'
    install="$install (Debian 13: openjdk-21-jre-headless; macOS: brew install openjdk@17), or set JAVA_HOME"
    output=$("$java" -version 2>&1) || fail "Spark needs Java 17 or 21, and '$java' cannot be run here; $install"
    version=$(printf '%s\n' "$output" | sed -n 's/.*version "\([^"]*\)".*/\1/p' | sed -n 1p)
    case $version in
        17 | 17.* | 17-* | 21 | 21.* | 21-* | 25 | 25.* | 25-*) ;;
        *) fail "Spark 4.2 needs Java 17 or 21, and '$java' is ${version:-of an unknown version}; $install" ;;
    esac
}

# Sets $python to $PYTHON, or to the first of the usual names, if it is new enough.
find_python() {
    for python in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            return
        fi
    done
    version=$("${PYTHON:-python3}" --version 2>&1) || version='found none'
    install='install it with: sudo apt-get install -y python3 python3-venv (macOS: brew install python@3.12)'
    fail "Python 3.11 or newer is needed ($version); $install, or name one: make PYTHON=/path/to/python3.12 ..."
}

require_venv() {
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python cannot make a virtual environment; install it with: sudo apt-get install -y python3-venv"
}

# What .venv depends on. The folder is part of it, because scripts and an editable install hold its path.
fingerprint() {
    pwd
    cksum pyproject.toml constraints.txt
}

# is installed | is complete
is() {
    [ -e ".venv/.$1" ] && [ "$(cat ".venv/.$1")" = "$(fingerprint)" ] && .venv/bin/python -c '' 2>/dev/null
}

# Locks .venv for this process: waits for another process that is installing, and removes what a dead one left.
claim() {
    mkdir -p .venv
    until ln -s $$ .venv/.unfinished 2>/dev/null; do
        maker=$(readlink .venv/.unfinished) || continue
        if kill -0 "$maker" 2>/dev/null; then
            echo "Waiting for process $maker, which is making .venv"
            sleep 2
        else
            [ -e .venv/.installed ] || {
                echo 'The last installation did not finish: starting afresh'
                empty
            }
            rm -f .venv/.unfinished
        fi
    done
}

# Not venv --clear, which would remove .unfinished, the lock.
empty() {
    find .venv -mindepth 1 -maxdepth 1 ! -name .unfinished -exec rm -rf {} +
}

install() {
    rm -f .venv/.installed
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        echo "Making .venv with $("$python" --version)"
        empty
        "$python" -m venv .venv
    fi
    echo 'Installing the pinned dependencies into .venv (a few minutes the first time)'
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,dev,embedded,spark]'
    fingerprint >.venv/.installed
}

require_java
if is complete; then
    exit 0
fi
find_python
require_venv
claim
is installed || install
if ! is complete; then
    echo "Fetching Delta's jars into .ivy, and testing Spark"
    .venv/bin/python -m featurestore doctor --conf conf
    fingerprint >.venv/.complete
fi
rm -f .venv/.unfinished
