#!/bin/sh
# Prints, as Prometheus text, how many files wait in a folder (the first argument) and when the oldest was changed.
# Anything that can be told by a few commands is told like this; what goes wrong is said on standard error.
set -eu

folder="$1"
[ -d "$folder" ] || { echo "E! there is no folder $folder" >&2; exit 1; }

files=0
oldest=0
for file in "$folder"/*; do
  [ -f "$file" ] || continue
  files=$((files + 1))
  changed=$(stat -c %Y "$file")
  if [ "$oldest" -eq 0 ] || [ "$changed" -lt "$oldest" ]; then oldest=$changed; fi
done

echo "# HELP backlog_files Files that wait."
echo "# TYPE backlog_files gauge"
echo "backlog_files{folder=\"$folder\"} $files"
if [ "$files" -gt 0 ]; then
  echo "# HELP backlog_oldest_timestamp_seconds When the oldest of them was changed."
  echo "# TYPE backlog_oldest_timestamp_seconds gauge"
  echo "backlog_oldest_timestamp_seconds{folder=\"$folder\"} $oldest"
fi
