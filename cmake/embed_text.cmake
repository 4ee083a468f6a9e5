# cmake -DOUT=FILE.c -DROOT=DIR -DFILES=a;b -P embed_text.cmake
#
# C source that holds the files' text: deft_embedded[], see src/emit/c_pieces.h.
set(text "/* Made by cmake/embed_text.cmake. */\n#include \"emit/c_pieces.h\"\n\n")
set(list "")
set(n 0)
foreach(f ${FILES})
  file(READ ${ROOT}/${f} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(APPEND text "static const char text_${n}[] = {${bytes}0};\n")
  string(APPEND list "    {\"${f}\", text_${n}},\n")
  math(EXPR n "${n} + 1")
endforeach()
string(APPEND text "\nconst c_source deft_embedded[] = {\n${list}    {0, 0},\n};\n")
file(WRITE ${OUT}.tmp "${text}")
file(RENAME ${OUT}.tmp ${OUT})
