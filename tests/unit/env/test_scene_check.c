/* What a scene may name and ask for, without MuJoCo: each refusal with its words, and that nothing
 * is opened that is not a regular file. */
#include "check.h"
#include "env/scene_check.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void put(const char *name, const char *text)
{
    FILE *f = fopen(name, "wb");
    CHECK(f && fputs(text, f) >= 0, "cannot write %s", name);
    if (f) (void)fclose(f);
}

static void expect(const char *body, deft_status want, const char *word)
{
    deft_error err = {0};
    FILE *f = fopen("s.xml", "wb");
    if (f) {
        (void)fprintf(f, "<mujoco>\n%s\n</mujoco>", body);
        (void)fclose(f);
    }
    const deft_status s = scene_check("s.xml", &err);
    CHECK(s == want && strstr(err.text, word), "%s: %d '%s', not %d '%s'", body, (int)s, err.text,
          (int)want, word);
}

static void test_files(void)
{
    expect("<include file='good.xml'/>", DEFT_OK, "");
    expect("<include file='pipe'/>", DEFT_E_IO, "s.xml:2: included: pipe: not a regular file");
    expect("<Include File='pipe'/>", DEFT_E_IO, "not a regular file");
    expect("<worldbody><body><include file='pipe'/></body></worldbody>", DEFT_E_IO, "pipe");
    expect("<include file='&#112;ipe'/>", DEFT_E_IO, "pipe: not a regular file");
    expect("<include file='folder'/>", DEFT_E_IO, "not a regular file");
    expect("<include file='/dev/zero'/>", DEFT_E_IO, "/dev/zero: not a regular file");
    expect("<include file='none.xml'/>", DEFT_E_IO, "no file 'none.xml' to include");
    expect("<include file='s.xml'/>", DEFT_E_RANGE, "include each other");
    expect("<include file='a b.xml'/>", DEFT_OK, "");
    expect("<include\n file='a b.xml'/>", DEFT_OK, "");
    expect("<include file='a\nb.xml'/>", DEFT_E_FORMAT, "line ends");
    expect("<include file='folder/inner.xml'/>", DEFT_E_IO, "pipe"); // relative to either folder
    expect("<asset><mesh file='m.obj'/></asset>", DEFT_E_IO, "no file 'm.obj'");
    expect("<asset><mesh file='in.obj'/></asset><compiler meshdir='folder'/>", DEFT_OK, "");
    expect("<asset><mesh file='x/pipe'/></asset><compiler meshdir='.'/>", DEFT_E_IO,
           "'pipe' is not a regular file");
    expect("<asset><texture fileup='pipe'/></asset>", DEFT_E_IO, "not a regular file");
    expect("<asset><skin file='folder'/></asset>", DEFT_E_IO, "not a regular file");
}

static void test_sizes(void)
{
    expect("<asset><hfield nrow='1000' ncol='1000'/></asset>", DEFT_OK, "");
    expect("<asset><hfield nrow='30000' ncol='30000'/></asset>", DEFT_E_RANGE,
           "s.xml:2: height fields of 9e+08 samples");
    expect("<asset><hfield nrow='1000' ncol='1000'/>\n<hfield nrow='1500' ncol='1000'/></asset>",
           DEFT_E_RANGE, "s.xml:3: height fields of 2.5e+06");
    expect("<asset><hfield nrow='nan' ncol='1000'/></asset>", DEFT_E_RANGE, "samples");
    expect("<asset><hfield file='claim.bin'/></asset>", DEFT_E_RANGE, "height fields");
    expect("<asset><texture width='3000' height='3000'/></asset>", DEFT_E_RANGE, "textures");
    expect("<asset><texture file='claim.bin'/></asset>", DEFT_E_RANGE, "textures");
    expect("<size njmax='500' nconmax='-1'/>", DEFT_OK, "");
    expect("<size memory='10M'/>", DEFT_OK, "");
    expect("<size memory='1G'/>", DEFT_E_RANGE, "<size memory=\"1G\">: at most");
    expect("<size nuserdata='1e9'/>", DEFT_E_RANGE, "nuserdata");
    expect("<size nuserdata='none'/>", DEFT_E_RANGE, "nuserdata");
    expect("<worldbody><composite count='20 20 20'/></worldbody>", DEFT_E_RANGE, "composite");
    expect("<replicate count='101'><replicate count='100'><geom/></replicate></replicate>",
           DEFT_E_RANGE, "elements");
}

static void test_syntax(void)
{
    deft_error err = {0};
    expect("<geom", DEFT_E_FORMAT, "not well-formed");
    expect("<?xml-model a?><!-- b --><![CDATA[<include file='pipe'/>]]>", DEFT_OK, "");
    put("d.xml", "<!DOCTYPE mujoco [<!ENTITY f 'pipe'>]><mujoco><include file='&f;'/></mujoco>");
    CHECK(scene_check("d.xml", &err) == DEFT_E_FORMAT && strstr(err.text, "DOCTYPE"), "'%s'",
          err.text);
    put("r.xml", "<robot/>");
    CHECK(scene_check("r.xml", &err) == DEFT_E_FORMAT && strstr(err.text, "<mujoco>"), "'%s'",
          err.text);
    CHECK(scene_check("pipe", &err) == DEFT_E_IO, "a FIFO");
    CHECK(scene_check("nowhere.xml", &err) == DEFT_E_IO && strstr(err.text, "nowhere.xml"), "'%s'",
          err.text);
}

int main(void)
{
    char folder[] = "/tmp/deft-scene-XXXXXX";
    if (!mkdtemp(folder) || chdir(folder) != 0) CHECK_SKIP("no folder to write in");
    CHECK(mkdir("folder", 0700) == 0 && mkfifo("pipe", 0600) == 0, "cannot make files");
    put("good.xml", "<mujocoinclude><geom/></mujocoinclude>");
    put("a b.xml", "<mujocoinclude/>");
    put("folder/in.obj", "");
    put("folder/inner.xml", "<mujocoinclude><include file='pipe'/></mujocoinclude>");
    FILE *f = fopen("claim.bin", "wb"); // 65536 rows and columns: 2^32 bytes less than it seems
    const unsigned char claim[16] = {0, 0, 1, 0, 0, 0, 1, 0};
    CHECK(f && fwrite(claim, sizeof claim, 1, f) == 1, "cannot write");
    if (f) (void)fclose(f);
    test_files();
    test_sizes();
    test_syntax();
    static const char *const made[] = {"s.xml",    "d.xml",         "r.xml",
                                       "good.xml", "a b.xml",       "claim.bin",
                                       "pipe",     "folder/in.obj", "folder/inner.xml"};
    for (size_t k = 0; k < sizeof made / sizeof made[0]; k++) (void)unlink(made[k]);
    CHECK(rmdir("folder") == 0 && chdir("/") == 0 && rmdir(folder) == 0, "%s is not empty", folder);
    return check_report();
}
