/* CSV files: what programs write is read, whatever is not a table of finite numbers is refused by file and line. */
#include "import_files.h"

static hm_status open_text(const char *text, const hm_csv_options *options, hm_import *import)
{
    static const hm_csv_options plain = {.scale = 1};
    return hm_csv_open(file_of("table.csv", text, strlen(text)), options ? options : &plain, import);
}

static void assert_table(const char *text, const hm_csv_options *options, int64_t columns, const float *expected,
                         size_t bytes)
{
    hm_import import;
    if (open_text(text, options, &import) != HM_OK) fail_msg("'%s': %s", text, hm_error_message());
    assert_int_equal(import.source->type, HM_FLOAT32);
    assert_int_equal(import.source->columns, columns);
    assert_rows(&import, expected, bytes);
    assert_rows(&import, expected, bytes); /* from the beginning again */
    hm_import_free(&import);
}

static void numbers_are_read_however_they_are_dressed(void **state)
{
    (void)state;
    const float expected[] = {1, -2.5f, 0.125f, 4};
    const char *const texts[] = {
        "1,-2.5\n.125,4\n",
        "1,-2.5\r\n1.25e-1,4",
        "a,b\n1,-2.5\n\n0.125,4\n\n",
        "\"a, b\",b\n\"1\",\"-2.5\"\n 0.125\t, 4 \n",
        "\xef\xbb\xbf"
        "1,-2.5\n0.125,4\n",
        "\xef\xbb\xbf"
        "a,b\n1,-2.5\n0.125,4\n",
    };
    for (size_t at = 0; at < sizeof texts / sizeof texts[0]; at++)
        assert_table(texts[at], NULL, 2, expected, sizeof expected);
}

static void a_header_is_what_the_options_say(void **state)
{
    (void)state;
    const float all[] = {0, 1, 2, 3};
    hm_csv_options options = {.header = HM_CSV_HEADER_NO, .scale = 1};
    assert_table("0,1\n2,3\n", &options, 2, all, sizeof all);
    options.header = HM_CSV_HEADER_YES;
    assert_table("0,1\n2,3\n", &options, 2, all + 2, 2 * sizeof all[0]);
    assert_table("0,x\n2,3\n", &options, 2, all + 2, 2 * sizeof all[0]);
}

static void labels_come_from_their_column(void **state)
{
    (void)state;
    const char *const columns[] = {"digit", "1"};
    for (int at = 0; at < 2; at++) {
        hm_csv_options options = {.label_column = columns[at], .scale = 0.5};
        const float expected[] = {1, 2, 3, 4};
        hm_import import;
        assert_int_equal(open_text("p,\"digit\",q\n2,-7,4\n6,8,8\n", &options, &import), HM_OK);
        assert_int_equal(import.labels[0], -7); /* not scaled */
        assert_int_equal(import.labels[1], 8);
        assert_rows(&import, expected, sizeof expected);
        hm_import_free(&import);
    }
}

static void many_rows_are_read_in_pieces(void **state)
{
    (void)state;
    enum { ROWS = 10000, PIECE = 7 };
    const char *path = scratch_path(&folder, "long.csv");
    FILE *file = fopen(path, "w");
    for (int row = 0; row < ROWS; row++) fprintf(file, "%d,%d,%d\n", row, row % 10, -row);
    fclose(file);
    hm_import import;
    hm_csv_options options = {.label_column = "1", .scale = 1};
    assert_int_equal(hm_csv_open(path, &options, &import), HM_OK);
    assert_int_equal(import.source->rows, ROWS);
    for (int first = 0; first + PIECE <= ROWS; first += PIECE) {
        float rows[PIECE * 2];
        assert_int_equal(import.source->read(import.source, first, PIECE, rows), HM_OK);
        for (int row = 0; row < PIECE; row++) {
            assert_true(rows[2 * row] == (float)(first + row) && rows[2 * row + 1] == -(float)(first + row));
            assert_int_equal(import.labels[first + row], (first + row) % 10);
        }
    }
    hm_import_free(&import);
}

static void refuse_text(const char *text, const hm_csv_options *options, hm_status expected, const char *words)
{
    hm_import import;
    assert_refused(open_text(text, options, &import), expected, words);
    assert_null(import.source);
    assert_null(import.labels);
}

static void what_is_no_table_of_numbers_is_refused(void **state)
{
    (void)state;
    refuse_text("1,2\n3,4,5\n", NULL, HM_EDATA, "table.csv:2: row has 3 columns, expected 2");
    refuse_text("a,b\n\n1\n", NULL, HM_EDATA, "table.csv:3: row has 1 columns, expected 2");
    refuse_text("1,2\n3,four\n", NULL, HM_EDATA, "table.csv:2: column 1 is 'four'");
    refuse_text("1,2\n3,4 4\n", NULL, HM_EDATA, "'4 4', not a finite decimal number");
    refuse_text("1,2\n,4\n", NULL, HM_EDATA, "table.csv:2: column 0 is ''");
    refuse_text("1,2\n3,nan\n", NULL, HM_EDATA, "'nan', not a finite decimal number");
    refuse_text("1,2\n3,-inf\n", NULL, HM_EDATA, "'-inf', not a finite decimal number");
    refuse_text("1,2\n3,0x1F\n", NULL, HM_EDATA, "'0x1F', not a finite decimal number");
    refuse_text("0x1,0x2\n3,4\n", NULL, HM_EDATA, "table.csv:1: column 0 is '0x1'");     /* no header */
    refuse_text("1,2\n3,\033[2J\n", NULL, HM_EDATA, "'?[2J'");                           /* a terminal would obey it */
    refuse_text("1,2\n3,1e39\n", NULL, HM_EDATA, "'1e39', not a finite decimal number"); /* beyond float32 */
    refuse_text("1,two\n3,4\n", NULL, HM_EDATA, "table.csv:1: is neither all numbers nor all names");
    refuse_text("", NULL, HM_EDATA, "no data");
    refuse_text("\n\n", NULL, HM_EDATA, "no data");
    refuse_text("a,b\n", NULL, HM_EDATA, "no data");
    hm_import import;
    static const hm_csv_options plain = {.scale = 1};
    assert_refused(hm_csv_open(file_of("zero", "1,\0002\n", 5), &plain, &import), HM_EDATA, "zero byte");
    assert_refused(hm_csv_open(scratch_path(&folder, "nowhere"), &plain, &import), HM_EDATA, "No such file");
}

static void label_columns_are_checked(void **state)
{
    (void)state;
    hm_csv_options options = {.label_column = "b", .scale = 1};
    refuse_text("1,2\n", &options, HM_EUSAGE, "no column 'b' (2 columns, no header)");
    refuse_text("a,c\n1,2\n", &options, HM_EUSAGE, "no column 'b'");
    refuse_text("a,b\n1,2.5\n", &options, HM_EDATA, "table.csv:2: label 2.5 is not an integer");
    refuse_text("a,b\n1,2\n1,3e9\n", &options, HM_EDATA, "table.csv:3: label 3e+09");
    refuse_text("b\n1\n", &options, HM_EDATA, "only the column of labels");
    options.label_column = "2";
    refuse_text("1,2\n", &options, HM_EUSAGE, "no column '2'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(numbers_are_read_however_they_are_dressed),
        TEST(a_header_is_what_the_options_say),
        TEST(labels_come_from_their_column),
        TEST(many_rows_are_read_in_pieces),
        TEST(what_is_no_table_of_numbers_is_refused),
        TEST(label_columns_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
