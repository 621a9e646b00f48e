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

static void refuse_text(const char *text, const hm_csv_options *options, hm_status expected, const char *words)
{
    hm_import import;
    assert_refused(open_text(text, options, &import), expected, words);
    assert_null(import.source);
    assert_null(import.labels);
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

/* AUTO finds these headers; the two values are those of the last line. */
static void headers_are_found(void **state)
{
    (void)state;
    const float rows[] = {5, 6, 7, 0, 1, 2}, two[] = {5, 6};
    assert_table("0,1,2\n5,6,7\n0,1,2\n", NULL, 3, rows, sizeof rows);
    assert_table("\"0\",\"1\",\"2\"\n5,6,7\n0,1,2\n", NULL, 3, rows, sizeof rows);
    assert_table("0,label\n5,6\n", NULL, 2, two, sizeof two);
    assert_table("NA,b\n5,6\n", NULL, 2, two, sizeof two);
    refuse_text("0,1\n5,6\n", NULL, HM_EDATA, "table.csv:1: '0,1' can be a row or the numbers of the columns");
    refuse_text("0\n5\n", NULL, HM_EDATA, "say --header no or --header yes");
    refuse_text("1,2,label\n5,6,7\n", NULL, HM_EDATA, "say --header yes or --header no");
    const float data[] = {0, 1, 3, 5, 6, 7}, labelled[] = {6, 7, 8};
    assert_table("0,1,3\n5,6,7\n", NULL, 3, data, sizeof data);
    refuse_text("0.0,1.0,2.0\n5,6,7\n", NULL, HM_EDATA, "table.csv:1: '0.0,1.0,2.0' can be a row or the numbers");
    refuse_text("1,2,3\n5,6,7\n", NULL, HM_EDATA, "table.csv:1: '1,2,3' can be a row or the numbers");
    hm_csv_options label = {.label_column = "label", .scale = 1};
    const char *const numbers[] = {"label,0,1,2\n5,6,7,8\n", "label,1,2,3\n5,6,7,8\n", "1,2,3,label\n6,7,8,5\n"};
    for (int at = 0; at < 3; at++) assert_table(numbers[at], &label, 3, labelled, sizeof labelled);
}

static void an_index_is_left_out(void **state)
{
    (void)state;
    const float expected[] = {5, 6, 7, 8};
    assert_table(",a,b\n0,5,6\n1,7,8\n", NULL, 2, expected, sizeof expected);
    assert_table("\"\",\"V1\",\"V2\"\n\"x\",5,6\n\"y\",7,8\n", NULL, 2, expected, sizeof expected); /* R */
    assert_table("Unnamed: 0,a,b\n0,5,6\n1,7,8\n", NULL, 2, expected, sizeof expected);
    assert_table(",0,1,2,3\nx,5,6,7,8\n", NULL, 4, expected, sizeof expected);
    refuse_text(",0,1\n0,5,6\n1,7,8\n", NULL, HM_EDATA, "',0,1' can be a row or the numbers of the columns");
    hm_csv_options options = {.index_column = "id", .scale = 1};
    assert_table("a,id,b\n5,x,6\n7,y,8\n", &options, 2, expected, sizeof expected);
    options.index_column = "1";
    assert_table("5,x,6\n7,y,8\n", &(hm_csv_options){.index_column = "1", .header = HM_CSV_HEADER_NO, .scale = 1}, 2,
                 expected, sizeof expected);
    options.index_column = "none";
    refuse_text(",a\nx,5\n", &options, HM_EDATA, "column 0 is 'x'");
    options.index_column = "id";
    refuse_text("a,b\n1,2\n", &options, HM_EUSAGE, "--index-column: ");
}

static void a_column_that_counts_is_asked_about(void **state)
{
    (void)state;
    const float data[] = {1, 5, 2, 6, 3, 8}, rest[] = {5, 6, 8};
    hm_csv_options none = {.index_column = "none", .scale = 1}, first = {.index_column = "0", .scale = 1};
    refuse_text("1,5\n2,6\n3,8\n", NULL, HM_EDATA, "column 0 counts the rows, 1 to 3; say --index-column 0");
    refuse_text("id,a\n0,5\n1,6\n2,8\n", NULL, HM_EDATA, "column 0 counts the rows, 0 to 2");
    refuse_text("700,5\n701,6\n702,8\n", NULL, HM_EDATA, "column 0 counts the rows, 700 to 702");
    assert_table("1,5\n2,6\n3,8\n", &none, 2, data, sizeof data);
    assert_table("1,5\n2,6\n3,8\n", &first, 1, rest, sizeof rest);
    const float other[] = {1, 5, 2, 6, 4, 8}, alone[] = {1, 2, 3};
    assert_table("1,5\n2,6\n4,8\n", NULL, 2, other, sizeof other);
    assert_table("1\n2\n3\n", NULL, 1, alone, sizeof alone);
}

static void missing_values_are_no_header(void **state)
{
    (void)state;
    refuse_text("NA,NA,NA\n1,0,1\n", NULL, HM_EDATA, "table.csv:1: has only missing values");
    refuse_text("nan,NaN\n1,0\n", NULL, HM_EDATA, "has only missing values");
    refuse_text(",,\n1,0,1\n", NULL, HM_EDATA, "has only missing values");
    refuse_text("NA,1,2,3\n1,0,1,1\n", NULL, HM_EDATA, "table.csv:1: column 0 is 'NA'");
    refuse_text("0,1,,3\n1,0,1,1\n", NULL, HM_EDATA, "table.csv:1: column 2 is ''");
    refuse_text("NA,0,1\n1,0,1\n", NULL, HM_EDATA, "table.csv:1: column 0 is 'NA'");
    refuse_text("a,b\n1,NA\n", NULL, HM_EDATA, "not a finite decimal number (a missing value: fill it in");
    refuse_text(",0,1,0\n1,0,1,0\n", NULL, HM_EDATA, "table.csv:1: column 0 is ''");
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
    hm_csv_options options = {.label_column = "1", .index_column = "none", .scale = 1};
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

static void what_is_no_table_of_numbers_is_refused(void **state)
{
    (void)state;
    refuse_text("1,2\n3,4,5\n", NULL, HM_EDATA, "table.csv:2: row has 3 columns, expected 2");
    refuse_text("a,b\n\n1\n", NULL, HM_EDATA, "table.csv:3: row has 1 columns, expected 2");
    refuse_text("a,b\n1,5,6\n2,7,8\n", NULL, HM_EDATA, "(R's write.table leaves out the name of its row names");
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
        TEST(headers_are_found),
        TEST(an_index_is_left_out),
        TEST(a_column_that_counts_is_asked_about),
        TEST(missing_values_are_no_header),
        TEST(labels_come_from_their_column),
        TEST(many_rows_are_read_in_pieces),
        TEST(what_is_no_table_of_numbers_is_refused),
        TEST(label_columns_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
